"""Files, paths, caches, locks, and text for reports and terminals."""
