"""Entry points: `python -m launch.train`, `launch.evaluate`, `launch.score`, `launch.bench`."""
