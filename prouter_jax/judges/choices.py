"""Verdicts as a table `choices`, which `data.tables.read_write` reads."""

import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from prouter_jax.data.tables.files import write_parquet
from prouter_jax.judges.judge import Verdicts
from prouter_jax.judges.personas import Persona
from prouter_jax.judges.questions import Questions


def write_choices(
    path: str | os.PathLike, personas: Sequence[Persona], questions: Questions, verdicts: Verdicts
) -> int:
    """Writes a Parquet file, whole, with user_id, query_id, llm and candidates; returns its number of rows.

    A failure is no row.
    """
    person, question = np.nonzero(verdicts.choice >= 0)
    listed = [questions.llms[offered].tolist() for offered in questions.offered]
    names = pa.array([persona.name for persona in personas], pa.string())
    table = pa.table(
        {
            "user_id": names.take(pa.array(person)),
            "query_id": pa.array(questions.ids[question], pa.string()),
            "llm": pa.array(questions.llms[verdicts.choice[person, question]], pa.string()),
            "candidates": pa.array(listed, pa.list_(pa.string())).take(pa.array(question)),
        }
    )
    write_parquet(path, table)
    return table.num_rows
