"""The table logged.parquet: served LLM, propensity, reward and latency of each decision, for off-policy estimates."""

import dataclasses
import os

import numpy as np

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.tables.columns import load_table
from prouter_jax.data.tables.table import AllowedIds
from prouter_jax.data.validation import row_error
from prouter_jax.io.paths import make_path

LOGGED = "logged.parquet"
"""File name of the table."""
_SCHEMA = {"decision_id": "key", "llm": "id", "propensity": "number?", "reward": "number?", "latency": "number?"}


@dataclasses.dataclass(frozen=True)
class Logged:
    """Logged values of the decisions of an `Interactions`, in its order.

    Attributes:
      served: int32 [decisions], the LLM that answered.
      propensity: float64 [decisions], probability with which the logging policy chose it, NaN if missing.
      reward: float64 [decisions], rating or thumb (1 up, 0 down), NaN if missing.
      latency: float64 [decisions], seconds, NaN if missing.
    """

    served: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray
    latency: np.ndarray


def read_logged(folder: str | os.PathLike, data: Interactions) -> Logged:
    """Reads logged.parquet.

    Args:
      folder: of the tables.
      data: the tables of this folder.

    Raises:
      ValueError: if the file is missing or does not match the decisions.
    """
    path = make_path(folder) / LOGGED
    if not path.is_file():
        raise ValueError(f"table {LOGGED}: expected it in {str(folder)!r}, as `prouter logs` writes it, found none")
    table = load_table(path, _SCHEMA)
    row = table.find_ids("decision_id", AllowedIds(data.decisions.ids, "a decision_id of decisions"))
    if len(row) != len(data.decisions.ids):
        raise ValueError(f"table {LOGGED}: expected {len(data.decisions.ids)} rows as in decisions, found {len(row)}")
    served = table.find_ids("llm", AllowedIds(data.llms.ids, "an llm of llms"))
    offered = data.offers[data.decisions.offer[row], served]
    if not offered.all():
        bad = int(offered.argmin())
        raise row_error(LOGGED, "llm", bad, "an LLM on offer in its decision", data.llms.ids[served[bad]])
    order = np.argsort(row)
    numbers = (table.floats(name)[order] for name in ("propensity", "reward", "latency"))
    return Logged(served[order], *numbers)
