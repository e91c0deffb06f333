"""Requests to LLMs at OpenAI-compatible servers: answer collection, grading, judges and simulated users."""
