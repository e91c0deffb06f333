"""Scoring of files in batches and in shards."""
