"""Grades the outcomes of a folder of tables by the references that its queries have."""

import collections
import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prouter_jax.asking.progress_line import ProgressLine
from prouter_jax.asking.spending import Estimate
from prouter_jax.collect.queries import Queries, read_queries
from prouter_jax.data.tables import columns
from prouter_jax.data.tables.columns import Known, Table
from prouter_jax.data.tables.files import write_parquet
from prouter_jax.grading.judge import Grader, Judged
from prouter_jax.grading.metrics import JUDGE, Metric, find_metric
from prouter_jax.io.paths import arrow_file, make_path

QUERIES, OUTCOMES = "queries.parquet", "outcomes.parquet"
_SCHEMA = {"query_id": "id", "llm": "id", "effect": "number?", "response": "text?"}


@dataclasses.dataclass(frozen=True)
class Graded:
    """What was graded.

    Attributes:
      effects: by metric, the grades that were given.
      ungraded: by reason, how many outcomes were left as they were.
    """

    effects: dict[str, list[float]]
    ungraded: collections.Counter[str]


class Outcomes:
    """The outcomes of a folder, with the metric of each.

    Attributes:
      rows: by metric, the rows that are to be graded.
      ungraded: by reason, how many are not.
    """

    def __init__(self, folder: str | os.PathLike, metric: str = ""):
        """
        Args:
          folder: with queries.parquet and outcomes.parquet, as launch.collect leaves it.
          metric: for all rows; default: what the queries say.

        Raises:
          ValueError: naming table, column and row, if something is missing or wrong; no metric of that name, say.
        """
        self.folder, self._metric = make_path(folder), metric
        for name in (QUERIES, OUTCOMES):
            if not (self.folder / name).is_file():
                raise ValueError(f"folder {str(folder)!r}: expected {name}, as launch.collect leaves it, found none")
        self._queries: Queries = read_queries(self.folder / QUERIES)
        self._table: Table = columns.load(self.folder / OUTCOMES, _SCHEMA)
        self._query = self._table.rows("query_id", Known(self._queries.ids, f"a query_id of {QUERIES}"))
        self._answers, self._llms = self._table.strings("response"), self._table.strings("llm")
        self.rows: dict[str, list[int]] = {}
        self.ungraded: collections.Counter[str] = collections.Counter()
        for row, query in enumerate(self._query.tolist()):
            self._sort(row, query)
        self._grades = {name: self._find(name) for name in self.rows if name != JUDGE}

    def estimate(self, grader: Grader) -> Estimate:
        """What the judge's grades would cost."""
        return grader.estimate(self._judged())

    def grade(self, grader: Grader | None) -> Graded:
        """Writes the effects into outcomes.parquet, whole; what is not graded keeps what it had.

        Args:
          grader: for rows of the metric judge.

        Raises:
          ValueError: naming the row of a reference that its metric cannot use, or if rows need a grader.
        """
        if JUDGE in self.rows and grader is None:
            raise ValueError(
                f"metric {JUDGE}: expected an LLM that grades {len(self.rows[JUDGE]):,} answers, found none"
            )
        effect, given = self._table.floats("effect").copy(), {}
        ungraded = self.ungraded.copy()
        if self._grades:
            plain = sum(len(self.rows[name]) for name in self._grades)
            with ProgressLine("grade", "answers", plain, 0) as progress:
                given = {name: self._grade_plain(name, progress) for name in self._grades}
        if grader is not None and JUDGE in self.rows:
            given[JUDGE], failures = grader.grade(self._judged())
            ungraded.update(f"{JUDGE}: {failure}" for failure in failures if failure)
        for name, grades in given.items():
            rows, grades = np.array(self.rows[name]), np.array(grades)
            effect[rows] = np.where(np.isnan(grades), effect[rows], grades)
        self._write(effect)
        return Graded({name: [g for g in grades if g == g] for name, grades in given.items()}, ungraded)

    def _sort(self, row: int, query: int) -> None:
        metric = self._metric or self._queries.metrics[query]
        if not metric:
            self.ungraded["the query has no metric"] += 1
        elif not self._answers[row]:
            self.ungraded["the answer has no text"] += 1
        elif not self._queries.references[query] and metric != JUDGE:
            self.ungraded["the query has no reference"] += 1
        else:
            self.rows.setdefault(metric, []).append(row)

    def _find(self, name: str) -> Metric:
        try:
            return find_metric(name, allow_code=bool(self._metric))
        except ValueError as error:
            if self._metric:
                raise
            row = int(self._query[self.rows[name][0]])
            raise ValueError(f"table {QUERIES}, column metric, row {row}: {error}") from None

    def _grade_plain(self, name: str, progress: ProgressLine) -> list[float]:
        grades = []
        for row in self.rows[name]:
            references, choices = self._texts("references", row), self._texts("choices", row)
            try:
                grades.append(self._grades[name](self._answers[row], references, choices))
            except ValueError as error:
                where = f"query_id {self._queries.ids[self._query[row]]!r}, llm {self._llms[row]!r}"
                raise ValueError(f"table {OUTCOMES}, row {row} ({where}): metric {name}: {error}") from None
            progress.step(False)
        return grades

    def _texts(self, field: str, row: int) -> list[str]:
        cell = getattr(self._queries, field)[self._query[row]]
        return columns.several(cell) if cell else []

    def _judged(self) -> list[Judged]:
        texts, ids = self._queries.texts[self._query], self._queries.ids[self._query]
        return [
            Judged(ids[row], self._llms[row], texts[row], self._answers[row], self._texts("references", row))
            for row in self.rows.get(JUDGE, [])
        ]

    def _write(self, effect: np.ndarray) -> None:
        path = self.folder / OUTCOMES
        with pq.ParquetFile(arrow_file(path)) as file:
            table = file.read()
        column = pa.array(effect, pa.float64(), mask=np.isnan(effect))
        place = table.column_names.index("effect") if "effect" in table.column_names else None
        table = table.append_column("effect", column) if place is None else table.set_column(place, "effect", column)
        write_parquet(path, table)
