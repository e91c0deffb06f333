"""Readers: one module per format, each of which returns `Interactions`."""
