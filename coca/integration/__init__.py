"""Steps in the growth factor, and what each does to the particles."""
