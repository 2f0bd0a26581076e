"""What an observer sees: particles where they cross the light cone, and lensing by them."""
