"""Checks before anybody is asked that answers to queries can be graded: metrics exist and fit their references."""

import collections
import os

from prouter_jax.data.tables.schema import parse_texts
from prouter_jax.io.paths import make_path
from prouter_jax.llm.answers import Queries
from prouter_jax.llm.grading_metrics import JUDGE, UNAVAILABLE, current_name, find_metric


def check_metric(metric: str, reference: str, choices: str) -> str:
    """Checks that a metric can grade an answer to a query.

    Args:
      metric: its name, as in `grading_metrics.find_metric`; "" for none.
      reference, choices: cells of the query, a text or a JSON list each; "" for none.

    Returns:
      The reason why an answer will stay ungraded; "" if it can be graded.

    Raises:
      ValueError: if there is no such metric, or it cannot use the reference.
    """
    name = current_name(metric)
    if name in UNAVAILABLE:
        return f"metric {metric} {UNAVAILABLE[name]}"
    if not name:
        return "the query has no metric"
    if name == JUDGE:
        return ""
    if not reference:
        find_metric("exact_match" if name == "rouge_l" else name)
        return "the query has no reference"
    if name != "rouge_l":  # it uses every reference, and its library is needed for grading alone
        find_metric(name)("", parse_texts(reference), parse_texts(choices) if choices else [])
    return ""


def check_queries(queries: Queries, path: str | os.PathLike) -> collections.Counter[str]:
    """Checks the metrics of all queries, with `check_metric`.

    Args:
      path: the file of the queries, for messages.

    Returns:
      The number of queries whose answers will stay ungraded, by reason.

    Raises:
      ValueError: naming the file, the query and the metric.
    """
    ungraded: collections.Counter[str] = collections.Counter()
    cells = queries.ids, queries.texts, queries.metrics, queries.references, queries.choices
    for id_, text, metric, reference, choices in zip(*cells, strict=True):
        try:
            reason = check_metric(metric, reference, choices)
        except ValueError as error:
            place = f"table {make_path(path).name}, query {id_} ({text[:40]!r})"
            raise ValueError(f"{place}, column metric: {metric}: {error}") from None
        ungraded.update([reason] if reason else [])
    return ungraded
