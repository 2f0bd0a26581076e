"""What a run writes beside its snapshots: spectra, report and record."""
