"""The commands: `prouter NAME`, or `python -m launch.NAME` in the checkout."""
