"""Entry points: `python -m launch.train`, `evaluate`, `score`, `explain`, `judge`, `reproduce`, `bench`."""
