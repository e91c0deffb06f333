"""Personal LLM routing: predicts, for each user and query, which LLM that user prefers.

The names below load when they are first used, so that `import prouter_jax` is quick and loads no JAX.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from prouter_jax.config import ExperimentConfig
    from prouter_jax.data.interactions import Interactions
    from prouter_jax.data.tables.read_write import read_tables, write_tables
    from prouter_jax.dataset import Dataset, prepare_dataset, read_source
    from prouter_jax.experiment import evaluate_experiment, run_experiment, train_experiment
    from prouter_jax.report.types import Report
    from prouter_jax.serving.router import Router, Scores

__version__ = "0.1.0"  # pyproject.toml reads it here
__all__ = [
    "Dataset",
    "ExperimentConfig",
    "Interactions",
    "Report",
    "Router",
    "Scores",
    "evaluate_experiment",
    "prepare_dataset",
    "read_source",
    "read_tables",
    "run_experiment",
    "train_experiment",
    "write_tables",
]
_MODULES = {
    "Dataset": "dataset",
    "ExperimentConfig": "config",
    "Interactions": "data.interactions",
    "Report": "report.types",
    "Router": "serving.router",
    "Scores": "serving.router",
    "evaluate_experiment": "experiment",
    "prepare_dataset": "dataset",
    "read_source": "dataset",
    "read_tables": "data.tables.read_write",
    "run_experiment": "experiment",
    "train_experiment": "experiment",
    "write_tables": "data.tables.read_write",
}


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module 'prouter_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"prouter_jax.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
