"""The training loop: steps, losses, state, checkpoints, processes, metrics."""
