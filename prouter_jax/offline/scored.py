"""Answers to some rows, and the columns that they are written as."""

import dataclasses

import numpy as np
import pyarrow as pa

OUTPUT_COLUMNS = ("llm", "probabilities", "basis", "error")


@dataclasses.dataclass(frozen=True)
class Scored:
    """The answers to some rows.

    Attributes:
      llm: string [rows], the chosen one, null on an error.
      llms: the names of the columns of `probabilities`.
      probabilities: float [rows, llms], NaN where an LLM is not a candidate.
      basis: string [rows], what the choice rests on.
      error: string [rows], what is wrong with the row, null for nothing.
    """

    llm: pa.Array
    llms: list[str]
    probabilities: np.ndarray
    basis: pa.Array
    error: pa.Array
