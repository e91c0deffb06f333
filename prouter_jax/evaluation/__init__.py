"""Scores of test decisions, summarised and compared with baselines."""
