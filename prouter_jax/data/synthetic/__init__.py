"""The embedded benchmark: synthetic users, queries, LLMs and answers with planted preferences."""
