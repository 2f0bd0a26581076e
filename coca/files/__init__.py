"""File formats: snapshots, tables, tensors."""
