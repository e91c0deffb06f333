"""Readers of public data sets in their published formats; each returns `Interactions`."""
