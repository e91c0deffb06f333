"""Files, paths, locks, the terminal."""
