"""Requests as tables: decisions, their feedback, what was logged of them, queries and outcomes."""

import numpy as np
import pyarrow as pa

from prouter_jax.interactions import KINDS, RATING, THUMB
from prouter_jax.logs.outcomes import OF_OUTCOMES, OutcomeMeans
from prouter_jax.logs.queries import Merged, Seen, query_ids
from prouter_jax.logs.requests import MOST_LLMS, Requests
from prouter_jax.logs.table_writer import TableWriter
from prouter_jax.readers.tables import or_null


class LogTables:
    """Numbers decisions, LLMs and candidate sets as they come, and writes what is known of each.

    Args:
      merged: which queries stand for which others, None where each stands for itself.
    """

    def __init__(self, writer: TableWriter, outcomes: OutcomeMeans, merged: Merged | None):
        self._writer, self._outcomes, self._merged = writer, outcomes, merged
        self._seen = Seen()
        self._llms: dict[str, int] = {}
        self._offers: dict[frozenset[int] | None, int] = {}
        self._scales: set[bool] = set()
        self.decisions = self.queries = 0

    @property
    def llms(self) -> int:
        """How many there are so far."""
        return len(self._llms)

    def add(self, requests: Requests) -> None:
        """Some decisions more.

        Raises:
          ValueError: if thumbs come beside ratings whose range is not known, or there are too many LLMs.
        """
        if not len(requests.served):
            return
        self._check_llms(requests)
        query = self._add_queries(requests)
        number = self.decisions + np.arange(len(query))
        measured, time = requests.numbers, or_null(requests.numbers["time"])
        decisions = {"decision_id": number, "user_id": requests.user, "query_id": query}
        self._writer.write("decisions", decisions | {"offer": self._number_offers(requests), "time": time})
        # LLMs that dropped rows alone name have no number
        llm = np.array([self._llms.get(name, -1) for name in requests.llms], np.int32)[requests.served]
        names = pa.DictionaryArray.from_arrays(pa.array(llm), pa.array(list(self._llms), pa.string()))
        names = names.dictionary_decode()
        numbers = {"propensity": measured["propensity"], "reward": requests.reward, "latency": measured["latency"]}
        known = {name: or_null(values) for name, values in numbers.items()}
        self._writer.write("logged", {"decision_id": number, "llm": names} | known)
        self._add_feedback(requests, number, names)
        self._outcomes.add(query, llm, np.stack([measured[name] for name in OF_OUTCOMES], 1))
        self.decisions += len(query)

    def finish(self) -> None:
        """What is known at the end alone."""
        names = list(self._llms)
        for query, llm, means in self._outcomes.means():
            columns = {name: or_null(means[:, place]) for place, name in enumerate(OF_OUTCOMES)}
            self._writer.write("outcomes", {"query_id": query, "llm": [names[row] for row in llm]} | columns)
        self._writer.write("llms", {"llm": names})
        sets = [(number, range(len(names)) if llms is None else sorted(llms)) for llms, number in self._offers.items()]
        rows = [(number, names[llm]) for number, llms in sets for llm in llms]
        self._writer.write("offers", {"offer": [number for number, _ in rows], "llm": [llm for _, llm in rows]})

    def _add_queries(self, requests: Requests) -> np.ndarray:
        """The query id of each row; those that did not come before are written."""
        query = query_ids(requests.task, requests.query)
        leader = query if self._merged is None else self._merged.of(query)
        own = np.flatnonzero(leader == query)  # of merged queries, the leader's text stands for all
        new = own[self._seen.first(query[own])]
        texts = (column.take(pa.array(new)) for column in (requests.query, requests.task))
        self._writer.write("queries", dict(zip(("query_id", "query", "task_id"), (query[new], *texts), strict=True)))
        self.queries += len(new)
        return leader

    def _add_feedback(self, requests: Requests, number: np.ndarray, names: pa.Array) -> None:
        judged = np.flatnonzero(~np.isnan(requests.reward))
        kind = pa.array(np.where(requests.rated[judged], KINDS[RATING], KINDS[THUMB]), pa.string())
        said = {"decision_id": number[judged], "kind": kind, "llm": names.take(pa.array(judged))}
        self._writer.write("feedback", said | {"value": requests.reward[judged]})

    def _number_offers(self, requests: Requests) -> np.ndarray:
        """The number of each row's candidate set, int64 [rows]."""
        known = [frozenset(self._llms[requests.llms[llm]] for llm in np.flatnonzero(row)) for row in requests.sets]
        numbers = [self._offers.setdefault(llms, len(self._offers)) for llms in known]
        if (requests.offer < 0).any():  # any LLM of the log, those that are yet to come included
            numbers.append(self._offers.setdefault(None, len(self._offers)))
        return np.array(numbers)[requests.offer]

    def _check_llms(self, requests: Requests) -> None:
        """Numbers the new LLMs; ratings and thumbs are on one scale."""
        self._scales |= set(np.unique(requests.rated[~np.isnan(requests.reward)]).tolist())
        if len(self._scales) > 1 and not requests.scaled:
            raise ValueError(
                "log: expected --rating_range=LOW:HIGH to bring ratings to 0..1, for there are thumbs as well"
            )
        for llm in np.union1d(np.flatnonzero(requests.sets.any(0)), requests.served):
            self._llms.setdefault(requests.llms[llm], len(self._llms))
        if len(self._llms) > MOST_LLMS:
            raise ValueError(f"log: expected at most {MOST_LLMS} different LLMs, found {len(self._llms)}")
