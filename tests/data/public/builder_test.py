"""Interactions built item by item, and the counts of dropped items."""

import numpy as np
import pytest
from public_facts import decision_facts, outcome_facts
from table_files import write_rows

from prouter_jax.data.interactions import CHOICE, RATING
from prouter_jax.data.public.builder import InteractionsBuilder
from prouter_jax.data.public.records import FileSet


def test_names_become_tables_by_first_appearance():
    builder = InteractionsBuilder()
    hi, sum_ = builder.add_query("q9", "Hi"), builder.add_query("q1", "1+1?", "math")
    b, a = builder.llms["b"], builder.llms["a"]
    builder.add_outcome(sum_, a, "2", effect=1.0, cost=0.5)
    builder.add_outcome(hi, b, output_tokens=3)
    builder.add_decision("v", sum_, [a, b], CHOICE, {a: 0.5, b: 0.5}, first=a, time=4.0)
    builder.add_decision("u", hi, [b, a], RATING, {b: 7.0})
    data = builder.build()
    assert list(data.queries.ids) == ["q9", "q1"]
    assert list(data.llms.ids) == ["b", "a"]
    assert list(data.users.ids) == ["v", "u"]
    assert len(data.offers) == 1
    assert outcome_facts(data) == {
        ("q1", "a"): ("1+1?", "math", 1.0, 0.5, None, None, "2"),
        ("q9", "b"): ("Hi", None, None, None, None, 3.0, ""),
    }
    assert decision_facts(data) == [
        ("v", "q1", "1+1?", ("a", "b"), "a", 4.0, {("choice", "a"): 0.5, ("choice", "b"): 0.5}),
        ("u", "q9", "Hi", ("a", "b"), None, None, {("rating", "b"): 7.0}),
    ]


def test_a_query_has_one_text_and_one_task():
    builder = InteractionsBuilder()
    assert builder.add_query("q", "Hi", "a") == builder.add_query("q", "Hi", "b") == 0
    assert builder.add_query("q", "Else") == -1
    builder.llms["x"]
    assert list(builder.build().tasks.ids) == ["a"]


def test_of_several_outcomes_the_first_counts(tmp_path):
    builder, files = InteractionsBuilder(), FileSet([tmp_path / "a"])
    for effect in (0.25, 0.5, 1.0):
        builder.add_outcome(builder.add_query("q", "Hi"), builder.llms["a"], effect=effect)
    read = builder.build_outcomes_only(files)
    assert list(read.data.outcomes.effect) == [0.25]
    assert read.data.outcomes.response is None
    assert read.dropped == {"second answers of an LLM to a query": 2}


def test_no_data_is_an_error_with_the_dropped_items(tmp_path):
    files = FileSet([tmp_path / "a.csv"])
    files.drop("rows of air", 3)
    files.drop("rows of nothing", 0)
    with pytest.raises(ValueError, match=r"^table a.csv: expected an answer with a score, found 3 rows of air$"):
        InteractionsBuilder().build_outcomes_only(files)


def test_progress_is_a_share_of_the_bytes(tmp_path):
    calls = []
    paths = [write_rows(tmp_path / f"{name}.jsonl", [{"x": n} for n in range(10_000)]) for name in "ab"]
    files = FileSet(paths, lambda *progress: calls.append(progress))
    for path in paths:
        assert [record.cells["x"] for record in files.read(path, ["x"])] == list(range(10_000))
    assert [records for records, _ in calls] == list(range(500, 20_001, 500))
    np.testing.assert_allclose([share for _, share in calls][9::10], [0.25, 0.5, 0.75, 1], atol=0.01)
