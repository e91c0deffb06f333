"""Judges say which of several answers a person would like best: by rules on style, or by asking an LLM."""
