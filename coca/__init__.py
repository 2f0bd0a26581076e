"""COCA: cosmological N-body simulations in the frame of reference of an emulator."""

__version__ = "0.1.0"
