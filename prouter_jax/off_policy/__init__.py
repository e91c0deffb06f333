"""What another policy would have been worth on a log in which each decision shows the answer of one LLM alone."""
