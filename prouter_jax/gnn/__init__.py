"""The network of the paper (arXiv 2511.16883): layers of messages between users, tasks, queries and LLMs; gradients."""
