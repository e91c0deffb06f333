"""Batch scoring: files of (user, query) pairs, by one process or in shards by several."""
