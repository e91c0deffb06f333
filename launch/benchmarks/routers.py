"""A router for works that score; few training steps, since its speed does not depend on its quality."""

import tempfile
import time

from ..config_flag import load_experiment
from .figures import Setting


def alpaca_config(setting: Setting, num_users: int):
    """The experiment of `num_users` users who weigh quality and cost."""
    config = load_experiment("alpaca_route")
    config.data.path = str(setting.data / "alpaca_route")
    config.data.num_users = num_users
    return config


def quick_router(setting: Setting, num_users: int):
    """A router of that experiment after two steps."""
    from prouter_jax.experiment import run_experiment
    from prouter_jax.serving.router import Router

    config = alpaca_config(setting, num_users)
    config.train.num_train_steps, config.train.eval_every_steps = 2, 2
    with tempfile.TemporaryDirectory() as workdir:
        run_experiment(config, workdir)
        return Router.load(workdir)


def score_rates(setting: Setting, router, columns: dict) -> list[float]:
    """Rows a second from Parquet to Parquet, for each run; cached texts are cleared before each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from prouter_jax.serving.batch.score import score_file

    rates = []
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.table(columns), f"{folder}/pairs.parquet")
        for _ in range(setting.runs + 1):
            router.forget_texts()
            begun = time.perf_counter()
            counts = score_file(router.score_columns, f"{folder}/pairs.parquet", f"{folder}/scored.parquet")
            rates.append(counts.rows / (time.perf_counter() - begun))
    return rates[1:]
