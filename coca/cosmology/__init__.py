"""Background, growth and linear power of a cosmology, and how cosmologies are drawn."""
