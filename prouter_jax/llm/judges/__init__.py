"""Judges pick the answer that a simulated user likes best: by style rules, or by asking an LLM."""
