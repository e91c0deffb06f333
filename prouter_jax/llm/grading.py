"""Grades the outcomes of a folder of tables: compares each answer with the reference answers of its query."""

import collections
import dataclasses
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from prouter_jax.data.tables.parquet import write_parquet
from prouter_jax.data.tables.schema import load_table, parse_texts
from prouter_jax.data.tables.table import AllowedIds, Table
from prouter_jax.io.paths import arrow_file, make_path
from prouter_jax.llm.answers import Queries, read_queries
from prouter_jax.llm.budget import Estimate, Progress
from prouter_jax.llm.grading_metrics import JUDGE, Metric, find_metric
from prouter_jax.llm.llm_grader import AnsweredQuery, LlmGrader

QUERIES, OUTCOMES = "queries.parquet", "outcomes.parquet"
_SCHEMA = {"query_id": "id", "llm": "id", "effect": "number?", "response": "text?"}
_OTHERS = ("cost", "input_tokens", "output_tokens", "finish_reason")  # columns that grading does not touch


@dataclasses.dataclass(frozen=True)
class GradingSummary:
    """Result of grading.

    Attributes:
      grades: by metric, the new values of effect.
      ungraded: number of outcomes by reason that keep their previous effect.
    """

    grades: dict[str, list[float]]
    ungraded: collections.Counter[str]


class CollectedOutcomes:
    """The outcomes of a folder and the metric of each.

    Attributes:
      rows: by metric, the rows to grade.
      ungraded: number of other rows by reason.
    """

    def __init__(self, folder: str | os.PathLike, metric: str = ""):
        """
        Args:
          folder: with queries.parquet and outcomes.parquet, as `prouter collect` writes it.
          metric: for all rows; default: the metric of each query.

        Raises:
          ValueError: naming table, column and row of a missing or invalid value, an unknown metric for example.
        """
        self.folder, self._metric = make_path(folder), metric
        for name in (QUERIES, OUTCOMES):
            if not (self.folder / name).is_file():
                raise ValueError(f"folder {str(folder)!r}: expected {name}, as `prouter collect` writes it, found none")
        self._queries: Queries = read_queries(self.folder / QUERIES)
        self._table: Table = load_table(self.folder / OUTCOMES, _SCHEMA, _OTHERS)
        self._query = self._table.find_ids("query_id", AllowedIds(self._queries.ids, f"a query_id of {QUERIES}"))
        self._answers, self._llms = self._table.strings("response"), self._table.strings("llm")
        self.rows: dict[str, list[int]] = {}
        self.ungraded: collections.Counter[str] = collections.Counter()
        for row, query in enumerate(self._query.tolist()):
            self._assign_metric(row, query)
        self._metrics = {name: self._find_metric(name) for name in self.rows if name != JUDGE}

    def estimate_cost(self, grader: LlmGrader) -> Estimate:
        """The cost of the missing grades of an LLM."""
        return grader.estimate_cost(self._answered_queries())

    def grade(self, grader: LlmGrader | None) -> GradingSummary:
        """Writes the grades to the column effect of outcomes.parquet, whole; other rows keep their effect.

        Args:
          grader: for the rows with the metric judge.

        Raises:
          ValueError: if a metric cannot use a reference, naming its row, or if rows need a grader and there is none.
        """
        if JUDGE in self.rows and grader is None:
            raise ValueError(
                f"metric {JUDGE}: expected an LLM that grades {len(self.rows[JUDGE]):,} answers, found none"
            )
        effect, grades = self._table.floats("effect").copy(), {}
        ungraded = self.ungraded.copy()
        if self._metrics:
            with Progress("grade", "answers", sum(len(self.rows[name]) for name in self._metrics), 0) as progress:
                grades = {name: self._compute(name, progress) for name in self._metrics}
        if grader is not None and JUDGE in self.rows:
            grades[JUDGE], failures = grader.grade(self._answered_queries())
            ungraded.update(f"{JUDGE}: {failure}" for failure in failures if failure)
        for name, values in grades.items():
            rows, values = np.array(self.rows[name]), np.array(values)
            effect[rows] = np.where(np.isnan(values), effect[rows], values)
        self._write(effect)
        given = {name: [value for value in values if not np.isnan(value)] for name, values in grades.items()}
        return GradingSummary(given, ungraded)

    def _assign_metric(self, row: int, query: int) -> None:
        metric = self._metric or self._queries.metrics[query]
        if not metric:
            self.ungraded["the query has no metric"] += 1
        elif not self._answers[row]:
            self.ungraded["the answer has no text"] += 1
        elif not self._queries.references[query] and metric != JUDGE:
            self.ungraded["the query has no reference"] += 1
        else:
            self.rows.setdefault(metric, []).append(row)

    def _find_metric(self, name: str) -> Metric:
        try:
            return find_metric(name, allow_code=bool(self._metric))
        except ValueError as error:
            if self._metric:
                raise
            row = int(self._query[self.rows[name][0]])
            raise ValueError(f"table {QUERIES}, column metric, row {row}: {error}") from None

    def _compute(self, name: str, progress: Progress) -> list[float]:
        grades = []
        for row in self.rows[name]:
            references, choices = self._list("references", row), self._list("choices", row)
            try:
                grades.append(self._metrics[name](self._answers[row], references, choices))
            except ValueError as error:
                place = f"query_id {self._queries.ids[self._query[row]]!r}, llm {self._llms[row]!r}"
                raise ValueError(f"table {OUTCOMES}, row {row} ({place}): metric {name}: {error}") from None
            progress.step(failed=False)
        return grades

    def _list(self, field: str, row: int) -> list[str]:
        cell = getattr(self._queries, field)[self._query[row]]
        return parse_texts(cell) if cell else []

    def _answered_queries(self) -> list[AnsweredQuery]:
        texts, ids = self._queries.texts[self._query], self._queries.ids[self._query]
        return [
            AnsweredQuery(ids[row], self._llms[row], texts[row], self._answers[row], self._list("references", row))
            for row in self.rows.get(JUDGE, [])
        ]

    def _write(self, effect: Float[np.ndarray, " outcomes"]) -> None:
        path = self.folder / OUTCOMES
        with pq.ParquetFile(arrow_file(path)) as file:
            table = file.read()
        column = pa.array(effect, pa.float64(), mask=np.isnan(effect))
        place = table.column_names.index("effect") if "effect" in table.column_names else None
        table = table.append_column("effect", column) if place is None else table.set_column(place, "effect", column)
        write_parquet(path, table)
