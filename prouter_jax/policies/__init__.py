"""Policies to compare the router with, all under one interface and measured by the same lines."""

from prouter_jax.policies.make import make_policies
from prouter_jax.policies.policy import Policy

__all__ = ["Policy", "make_policies"]
