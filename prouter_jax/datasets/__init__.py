"""Data sets built once and read everywhere: by TFDS, by Grain, and by training here."""
