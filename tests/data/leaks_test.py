"""Sides and effects that the better answer can be read from are dropped, those of honest data stay."""

import numpy as np
import pytest
from table_files import write_rows

from prouter_jax.config import Data
from prouter_jax.data.tables.additions import read_history
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.dataset import read_source

LLMS = ("short", "long", "rude")
_LLMS = [{"llm": llm} for llm in LLMS]


def _write_tables(folder, **tables):
    for name, rows in tables.items():
        write_rows(folder / f"{name}.jsonl", rows)
    return folder


def _queries(number):
    return [{"query_id": f"q{query:03d}", "query": f"Tell me of {query}."} for query in range(number)]


def _write(folder, votes, effects=(), **users):
    """Tables of votes: user, query, better LLM, other LLM, side of the winner."""
    rows = []
    for user, query, better, other, winner in votes:
        a, b = (other, better) if winner == "b" else (better, other)
        rows.append({"user_id": user, "query_id": query, "llm_a": a, "llm_b": b, "winner": winner})
    tables = {"queries": _queries(60), "llms": _LLMS, "votes": rows}
    if effects:
        tables["outcomes"] = [{"query_id": query, "llm": llm, "effect": x} for (query, llm), x in effects.items()]
    if users:
        tables["users"] = [{"user_id": user, "preference": preference} for user, preference in users.items()]
    return _write_tables(folder, **tables)


def _votes(sides, number=60, users=("ann", "bob"), seed=0):
    """Each user's votes on `number` queries; sides is a function from a random number in 0..1 to the winner's side."""
    rng, votes = np.random.default_rng(seed), []
    for user in users:
        for query in range(number):
            better, other = rng.permutation(LLMS)[:2]
            votes.append((user, f"q{query:03d}", better, other, sides(rng.random())))
    return votes


def _read(folder):
    return read_source(Data(source="tables", path=str(folder), encoder="hash")).interactions


@pytest.mark.parametrize(
    ("sides", "found"),
    [
        (lambda _: "a", "stands first in 120 of 120 decisions"),
        (lambda _: "b", "stands second in 120 of 120 decisions"),
        (lambda x: "a" if x < 0.99 else "b", "stands first in 118 of 120 decisions"),
        (lambda x: "a" if x < 0.7 else "tie", "stands first in"),
    ],
)
def test_one_sided_votes_have_no_sides(tmp_path, capsys, sides, found):
    data = _read(_write(tmp_path, _votes(sides)))
    assert (data.decisions.first == -1).all()
    assert len(data.decisions.user) == 120
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("sides are not learnt: ")]
    assert len(lines) == 1
    assert found in lines[0]


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
def test_people_may_prefer_a_side(tmp_path, capsys, share):
    data = _read(_write(tmp_path, _votes(lambda x: "a" if x < share else "b")))
    assert (data.decisions.first >= 0).all()
    assert "not learnt" not in capsys.readouterr().err


def test_a_few_votes_may_be_on_one_side_by_chance(tmp_path):
    assert (_read(_write(tmp_path, _votes(lambda _: "a", 9))).decisions.first >= 0).all()


def test_the_first_of_many_is_seldom_the_best(tmp_path):
    """Among three LLMs the better answer never stands first here, which leaves two."""
    rng = np.random.default_rng(0)
    drawn = [rng.permutation(LLMS) for _ in range(60)]
    rows = [{"user_id": "u", "query_id": f"q{n:03d}", "llm": x[1], "first": x[0]} for n, x in enumerate(drawn)]
    _write_tables(tmp_path, queries=_queries(60), llms=_LLMS, choices=rows)
    assert (_read(tmp_path).decisions.first >= 0).all()
    _write_tables(tmp_path, choices=[{**row, "first": row["llm"]} for row in rows])
    assert (_read(tmp_path).decisions.first == -1).all()


def test_ratings_and_histories_have_sides_too(tmp_path, capsys):
    """A history of (chosen, rejected) votes in the form of ratings, for a router that knows the queries."""
    base = read_tables(_write(tmp_path, _votes(lambda x: "a" if x < 0.5 else "b")))
    rows = []
    for query in range(30):
        pair = {"user_id": "new", "query_id": f"q{query:03d}", "first": LLMS[query % 3]}
        rows.append({**pair, "llm": LLMS[query % 3], "rating": 5.0 - query % 2})
        rows.append({**pair, "llm": LLMS[(query + 1) % 3], "rating": 2.0})
    _write_tables(tmp_path, history=rows)
    first = read_history(tmp_path / "history.jsonl", base).decisions.first
    assert (first[:120] >= 0).all()
    assert (first[120:] == -1).all()
    assert "stands first in 30 of 30 decisions" in capsys.readouterr().err


def _shares(votes):
    """The share of its votes that each answer won."""
    won = {}
    for _, query, better, other, _ in votes:
        won.setdefault((query, better), []).append(1.0)
        won.setdefault((query, other), []).append(0.0)
    return {answer: float(np.mean(values)) for answer, values in won.items()}


def _fair(number=60, users=("ann", "bob", "cid", "dee")):
    return _votes(lambda x: "a" if x < 0.5 else "b", number, users)


@pytest.mark.parametrize("users", [("ann",), ("ann", "bob", "cid", "dee", "eve")])
def test_effects_that_are_shares_of_votes_are_dropped(tmp_path, capsys, users):
    votes = _fair(users=users)
    data = _read(_write(tmp_path, votes, _shares(votes)))
    assert np.isnan(data.outcomes.effect).all()
    assert (data.decisions.first >= 0).all()
    lines = [line for line in capsys.readouterr().err.splitlines() if "not learnt" in line]
    assert len(lines) == 1
    assert lines[0].startswith("effects are not learnt: ")


def test_effects_that_name_the_better_answer_are_dropped(tmp_path):
    rng, votes = np.random.default_rng(1), _fair(users=("ann",))
    effects = {(q, llm): x * rng.uniform(0.6, 1) / 2 + x / 4 for (q, llm), x in _shares(votes).items()}
    assert np.isnan(_read(_write(tmp_path, votes, effects)).outcomes.effect).all()


def test_effects_that_follow_mean_ratings_are_dropped(tmp_path):
    rng = np.random.default_rng(2)
    rating = rng.integers(1, 6, (3, 40, 3)).astype(float)
    cells = np.ndindex(rating.shape)
    rows = [
        {"user_id": f"u{u}", "query_id": f"q{q:03d}", "llm": LLMS[m], "rating": rating[u, q, m]} for u, q, m in cells
    ]
    mean = rating.mean(0) / 5
    answers = [{"query_id": f"q{q:03d}", "llm": LLMS[m], "effect": mean[q, m]} for q in range(40) for m in range(3)]
    _write_tables(tmp_path, queries=_queries(40), llms=_LLMS, ratings=rows, outcomes=answers)
    assert np.isnan(_read(tmp_path).outcomes.effect).all()


def test_measured_effects_stay(tmp_path, capsys):
    """People agree with a measurement in most of their votes, not in all."""
    rng, votes = np.random.default_rng(3), _fair()
    effects = {answer: float(np.clip(x + rng.normal(0, 0.3), 0, 1)) for answer, x in _shares(votes).items()}
    assert np.isfinite(_read(_write(tmp_path, votes, effects)).outcomes.effect).all()
    assert "not learnt" not in capsys.readouterr().err


def test_effects_define_choices_of_users_with_a_preference(tmp_path):
    votes = _fair(users=("ann",))
    data = _read(_write(tmp_path, votes, _shares(votes), ann=1.0))
    assert np.isfinite(data.outcomes.effect).all()
