"""Sweeps: many runs of one experiment with different values, compared by their validation rewards."""
