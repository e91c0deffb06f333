"""Ahead-of-time compilation for TPU topologies that are not attached: memory, operations, collectives, forecasts."""
