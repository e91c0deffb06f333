"""Interaction data from a pool of live LLMs: every LLM is asked every query, and no answer is paid for twice."""
