"""Writes the tables of a log: decisions, queries, feedback, logged values, outcomes, LLMs and offers.

Feedback and logged values are written last, because the coding of thumbs is known after the last row alone.
"""

import dataclasses
import typing

import numpy as np
import pyarrow as pa

from prouter_jax.data.interactions import KINDS, RATING, THUMB
from prouter_jax.data.logs.queries import Merged, SeenIds, query_ids
from prouter_jax.data.logs.requests import MOST_LLMS, Requests
from prouter_jax.data.logs.tables import OF_OUTCOMES, OutcomeMeans, TableWriter
from prouter_jax.data.tables.read_write import nullable_numbers

_LATER = ("rating", "propensity", "latency")
_FEEDBACK = np.dtype([("llm", "<i4"), ("thumb", "<i2"), ("file", "<i4"), *((name, "<f8") for name in _LATER)])
_AT_ONCE = 1 << 18


@dataclasses.dataclass(frozen=True)
class Codings:
    """How the values of a log's columns are read, known after its last row.

    Attributes:
      thumb: float64 [codes + 1], 1 for up, 0 for down, NaN for no feedback; the last one is for no thumb.
      rating_range: the ratings that become 0 and 1.
      seconds: float64 [files], of a unit of latencies.
    """

    thumb: np.ndarray
    rating_range: tuple[float, float]
    seconds: np.ndarray


class LogTables:
    """Numbers decisions, LLMs and candidate sets in their order of appearance and writes the tables.

    Args:
      later: a temporary file, for what is written when the coding of thumbs is known.
      merged: queries that are one; None if all are different.
    """

    def __init__(self, writer: TableWriter, outcomes: OutcomeMeans, later: typing.IO[bytes], merged: Merged | None):
        self._writer, self._outcomes, self._later, self._merged = writer, outcomes, later, merged
        self._seen = SeenIds()
        self._llms: dict[str, int] = {}
        self._offers: dict[frozenset[int] | None, int] = {}
        self.decisions = self.queries = 0

    @property
    def llms(self) -> int:
        """Number of LLMs so far."""
        return len(self._llms)

    def add(self, requests: Requests) -> None:
        """Adds decisions.

        Raises:
          ValueError: if there are more than `MOST_LLMS` LLMs.
        """
        if not len(requests.served):
            return
        self._number_llms(requests)
        query = self._add_queries(requests)
        number = self.decisions + np.arange(len(query))
        measured, time = requests.numbers, nullable_numbers(requests.numbers["time"])
        decisions = {"decision_id": number, "user_id": requests.user, "query_id": query}
        self._writer.write("decisions", decisions | {"offer": self._number_offers(requests), "time": time})
        # LLMs that occur only in dropped rows have no number
        llm = np.array([self._llms.get(name, -1) for name in requests.llms], np.int32)[requests.served]
        later = np.empty(len(query), _FEEDBACK)
        later["llm"], later["thumb"], later["file"] = llm, requests.thumb, requests.file
        for name in _LATER:
            later[name] = measured[name]
        self._later.write(later.tobytes())
        self._outcomes.add(query, llm, np.stack([measured[name] for name in OF_OUTCOMES], 1))
        self.decisions += len(query)

    def finish(self, codings: Codings) -> None:
        """Writes the tables that need all decisions: logged, feedback, outcomes, LLMs and offers."""
        names = list(self._llms)
        self._write_feedback(codings, pa.array(names, pa.string()))
        for query, llm, means in self._outcomes.means():
            columns = {name: nullable_numbers(means[:, place]) for place, name in enumerate(OF_OUTCOMES)}
            self._writer.write("outcomes", {"query_id": query, "llm": [names[row] for row in llm]} | columns)
        self._writer.write("llms", {"llm": names})
        sets = [(number, range(len(names)) if llms is None else sorted(llms)) for llms, number in self._offers.items()]
        rows = [(number, names[llm]) for number, llms in sets for llm in llms]
        self._writer.write("offers", {"offer": [number for number, _ in rows], "llm": [llm for _, llm in rows]})

    def _add_queries(self, requests: Requests) -> np.ndarray:
        """The query id of each row; writes the new queries."""
        query = query_ids(requests.task, requests.query)
        leader = query if self._merged is None else self._merged.of(query)
        own = np.flatnonzero(leader == query)  # only the leader of merged queries is written
        new = own[self._seen.first(query[own])]
        texts = (column.take(pa.array(new)) for column in (requests.query, requests.task))
        self._writer.write("queries", dict(zip(("query_id", "query", "task_id"), (query[new], *texts), strict=True)))
        self.queries += len(new)
        return leader

    def _write_feedback(self, codings: Codings, llms: pa.Array) -> None:
        self._later.seek(0)
        start, (low, high) = 0, codings.rating_range
        while block := self._later.read(_AT_ONCE * _FEEDBACK.itemsize):
            rows = np.frombuffer(block, _FEEDBACK)
            number = start + np.arange(len(rows))
            rated = ~np.isnan(rows["rating"])
            reward = np.where(rated, (rows["rating"] - low) / (high - low), codings.thumb[rows["thumb"]])
            names = pa.DictionaryArray.from_arrays(pa.array(rows["llm"]), llms).dictionary_decode()
            latency = rows["latency"] * codings.seconds[rows["file"]]
            values = {"propensity": rows["propensity"], "reward": reward, "latency": latency}
            logged = {name: nullable_numbers(column) for name, column in values.items()}
            self._writer.write("logged", {"decision_id": number, "llm": names} | logged)
            judged = np.flatnonzero(~np.isnan(reward))
            kind = pa.array(np.where(rated[judged], KINDS[RATING], KINDS[THUMB]), pa.string())
            feedback = {"decision_id": number[judged], "kind": kind, "llm": names.take(pa.array(judged))}
            self._writer.write("feedback", feedback | {"value": reward[judged]})
            start += len(rows)

    def _number_offers(self, requests: Requests) -> np.ndarray:
        """The number of each row's candidate set, int64 [rows]."""
        sets = [frozenset(self._llms[requests.llms[llm]] for llm in np.flatnonzero(row)) for row in requests.sets]
        numbers = [self._offers.setdefault(llms, len(self._offers)) for llms in sets]
        if (requests.offer < 0).any():  # all LLMs of the log, later ones included
            numbers.append(self._offers.setdefault(None, len(self._offers)))
        return np.array(numbers)[requests.offer]

    def _number_llms(self, requests: Requests) -> None:
        for llm in np.union1d(np.flatnonzero(requests.sets.any(0)), requests.served):
            self._llms.setdefault(requests.llms[llm], len(self._llms))
        if len(self._llms) > MOST_LLMS:
            raise ValueError(f"log: expected at most {MOST_LLMS} different LLMs, found {len(self._llms)}")
