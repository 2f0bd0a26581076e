"""Statistics of a snapshot on one rank; docs/statistics.md has the definitions.

Every statistic works on the `Particles` of `coca.files.snapshot_reader` and on a `Domain` of one
rank, whose n is the mesh: particles may be any number, in any order.
"""
