"""Programs compiled ahead of time for topologies that are not attached: memory, operations, collectives, forecasts."""
