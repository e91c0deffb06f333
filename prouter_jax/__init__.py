"""Personal routing: pick, for each user and each query, the LLM that this user would want."""
