"""Bandits for single users, and the simulation that compares them with the router."""
