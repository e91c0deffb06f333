"""Scoring files of pairs: streamed in (read, columns), scored by chunks (score), whole or not at all (write)."""
