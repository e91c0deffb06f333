"""Minibatches of users: histories on disk or in memory, drawn by (seed, step), ready on the devices when needed."""
