"""Asking LLMs at OpenAI-compatible servers: patiently, within limits and a budget, and nothing twice."""
