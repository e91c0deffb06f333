"""Policies to compare the router with, all under one interface and measured by the same lines."""

from prouter_jax.evaluation.baselines.base import Policy
from prouter_jax.evaluation.baselines.simple import make_policies

__all__ = ["Policy", "make_policies"]
