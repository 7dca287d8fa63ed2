"""The monitoring stack as code: its files found, checked against the catalogue, rendered, run without containers."""
