"""Searches values of an experiment's fields: many trials, compared by their validation rewards.

python -m launch.sweep --config=experiments/X.py --workdir=DIR --sweep=model.taste_dim=4,8 \\
    --sweep=model.near.noise=1:100:log --trials=20 [--config.seeds=3] [--concurrency=2] [--backend=slurm] [--dry_run]

--sweep takes lists (4,8), ranges (1:10) and ranges over orders of magnitude (1:100:log), once for each field. Lists
without --trials are a grid; otherwise --trials are drawn by chance, or with --search=optuna where others did well. Each
trial is a run of launch.train in DIR/trials/NNN. The same command again goes on, and a larger --trials adds to it.
It writes DIR/results.md, results.json, results.png, and the best trial as an experiment, DIR/best.py.
"""
