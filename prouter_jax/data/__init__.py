"""Interaction data: reading, checking, rewards, splits, text vectors, batches."""
