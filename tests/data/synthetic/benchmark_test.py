"""The embedded benchmark: planted truth is there to be found, and only where it was planted."""

import collections
import dataclasses

import numpy as np
import pytest

from prouter_jax.config import Embedded
from prouter_jax.data import interactions
from prouter_jax.data.synthetic import benchmark as embedded
from prouter_jax.data.synthetic import text
from prouter_jax.data.synthetic.topics import TOPICS
from prouter_jax.data.validation import validate

SIZES = [
    (1, 1, 2, 1, 1),
    (3, 2, 2, 2, 9),
    (5, 60, 3, 4, 20),
    (20, 100, 4, 5, 10),
    (50, 300, 12, 30, 40),
    (2, 30, 90, 3, 30),
]


def _config(tasks: int, queries: int, llms: int, users: int, decisions: int, **more) -> Embedded:
    return Embedded(tasks, queries, llms, users, decisions, **more)


def _judge(**more) -> Embedded:
    return _config(5, 600, 8, 60, 200, **more)


def _columns(data: interactions.Interactions) -> list[np.ndarray]:
    tables = [getattr(data, field.name) for field in dataclasses.fields(data)]
    values = [vars(table).values() if dataclasses.is_dataclass(table) else [table] for table in tables]
    return [column for table in values for column in table if column is not None]


def _same(first: np.ndarray, second: np.ndarray) -> bool:
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def _chosen(data: interactions.Interactions) -> np.ndarray:
    assert len(data.feedback.decision) == len(data.decisions.user)
    chosen = np.zeros(len(data.decisions.user), int)
    chosen[data.feedback.decision] = data.feedback.llm
    return chosen


def _accuracy(data: interactions.Interactions, scores: np.ndarray, test: np.ndarray) -> float:
    """The share of test decisions where the best score [decisions, llms] on offer was the choice."""
    best = np.where(data.offers[data.decisions.offer], scores, -np.inf).argmax(1)
    return float((best == _chosen(data))[test].mean())


def _favourites(data: interactions.Interactions, key: np.ndarray, train: np.ndarray) -> np.ndarray:
    """How often each LLM was chosen in training decisions of the same key: [decisions, llms]."""
    counts = np.zeros((key.max() + 1, len(data.llms.ids)))
    np.add.at(counts, (key[train], _chosen(data)[train]), 1)
    return counts[key]


def _policies(config: Embedded) -> dict[str, float]:
    data = embedded.build_embedded(config)
    user, query = data.decisions.user, data.decisions.query
    task = data.queries.task[query]
    test = data.decisions.time > np.median(data.decisions.time)
    everybody = _favourites(data, np.zeros_like(user), ~test)
    own = _favourites(data, user, ~test)
    truth = np.nan_to_num(embedded.planted_utility(config)[user, query], nan=-9.0)
    scores = {
        "single": everybody,
        "own": own,
        "task": _favourites(data, task, ~test),
        "own and task": _favourites(data, user * config.num_tasks + task, ~test) + own / config.num_tasks,
        "truth": truth,
    }
    return {name: _accuracy(data, score, test) for name, score in scores.items()}


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_valid_and_complete(size):
    tasks, queries, llms, users, decisions = size
    data = validate(embedded.build_embedded(_config(*size)))
    assert (len(data.tasks.ids), len(data.queries.ids), len(data.llms.ids), len(data.users.ids)) == (
        *(tasks, queries, llms, users),
    )
    pairs = set(zip(data.decisions.user.tolist(), data.decisions.query.tolist(), strict=True))
    assert len(pairs) == len(data.decisions.user) == users * min(decisions, queries)
    assert len(set(data.tasks.ids)) == tasks
    assert len(set(data.queries.texts)) == queries
    assert len(set(data.llms.descriptions)) == llms
    assert set(data.llms.pools) == {"core"}


def test_the_seed_decides_everything():
    first, again, other = (embedded.build_embedded(_judge(seed=seed)) for seed in (3, 3, 4))
    assert all(_same(a, b) for a, b in zip(_columns(first), _columns(again), strict=True))
    for table, column in (("queries", "texts"), ("outcomes", "effect"), ("decisions", "query"), ("llms", "families")):
        changed = getattr(getattr(first, table), column), getattr(getattr(other, table), column)
        assert _same(*changed) == (column == "families")


def test_preferences_change_nothing_but_the_choices():
    personal, shared = (embedded.build_embedded(_judge(preferences=kind)) for kind in (True, False))
    for name in ("queries", "llms", "outcomes", "decisions"):
        tables = vars(getattr(personal, name)).values(), vars(getattr(shared, name)).values()
        assert all(_same(a, b) for a, b in zip(*tables, strict=True) if a is not None)
    assert (_chosen(personal) != _chosen(shared)).mean() > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_own_favourite_beats_the_single_best_where_preferences_were_planted(seed):
    reached = _policies(_judge(seed=seed))
    assert reached["own"] > reached["single"] + 0.1
    assert reached["own and task"] > reached["task"] + 0.05
    assert reached["own and task"] > reached["own"] + 0.03
    assert reached["truth"] > reached["own and task"] + 0.1
    assert reached["truth"] < 0.95


@pytest.mark.parametrize("seed", range(3))
def test_own_favourite_wins_nothing_where_all_users_are_alike(seed):
    config = _judge(seed=seed, preferences=False)
    reached = _policies(config)
    assert reached["own"] < reached["single"] + 0.02
    assert reached["own and task"] < reached["task"] + 0.02
    utility = embedded.planted_utility(config)
    np.testing.assert_array_equal(utility, np.broadcast_to(utility[:1], utility.shape))


def test_planted_utility_is_missing_exactly_where_outcomes_are():
    config = _judge(seed=1)
    data = embedded.build_embedded(config)
    utility = embedded.planted_utility(config)
    seen = np.zeros(utility.shape[1:], bool)
    seen[data.outcomes.query, data.outcomes.llm] = True
    assert utility.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(utility), np.broadcast_to(~seen, utility.shape))
    assert 0.003 < 1 - seen.mean() < 0.03
    assert seen.sum(1).min() >= 2
    # The noise of a choice is small: a choice against the truth gives up little of what is at stake.
    truth = utility[data.decisions.user, data.decisions.query]
    best = np.where(data.offers[data.decisions.offer], truth, -np.inf).max(1)
    lost = best - truth[np.arange(len(truth)), _chosen(data)]
    assert lost.min() >= 0
    assert lost.mean() < 0.1 * np.nanstd(utility)


def test_offers_are_distinct_and_hold_only_llms_with_an_outcome():
    data = embedded.build_embedded(_config(5, 300, 10, 50, 100))
    seen = np.zeros((300, 10), bool)
    seen[data.outcomes.query, data.outcomes.llm] = True
    on_offer = data.offers[data.decisions.offer]
    assert len(np.unique(data.offers, axis=0)) == len(data.offers) == len(np.unique(data.decisions.offer))
    assert not (on_offer & ~seen[data.decisions.query]).any()
    assert on_offer.sum(1).min() >= 2
    whole = (on_offer == seen[data.decisions.query]).all(1)
    assert 0.6 < whole.mean() < 0.8
    assert set(range(3, 10)) <= set(on_offer[~whole].sum(1))
    assert on_offer[~whole].mean(0).std() < 0.05


def test_decisions_of_a_user_follow_each_other_in_time():
    data = embedded.build_embedded(_judge())
    same_user = np.diff(data.decisions.user) == 0
    assert (np.diff(data.decisions.time)[same_user] > 0).all()


def _words(written: str) -> list[str]:
    return [word.strip(".,?!:;\"'") for word in written.lower().split()]


def test_a_text_tells_its_topic():
    data = embedded.build_embedded(_config(13, 1300, 2, 1, 1))
    assert np.ptp(np.bincount(data.queries.task)) == 0
    learnt, asked = np.arange(0, 650), np.arange(650, 1300)
    known = [collections.Counter() for _ in data.tasks.ids]
    for row in learnt:
        known[data.queries.task[row]].update(set(_words(data.queries.texts[row])))
    total = sum(known, collections.Counter())
    guessed = [
        int(
            np.argmax(
                [sum(topic[word] / total[word] for word in set(_words(written)) if word in total) for topic in known]
            )
        )
        for written in data.queries.texts[asked]
    ]
    assert (np.array(guessed) == data.queries.task[asked]).mean() > 0.95


def test_a_text_tells_its_difficulty():
    data = embedded.build_embedded(_config(20, 2000, 8, 1, 1, seed=2))
    length = np.array([len(written) for written in data.queries.texts])
    effect = np.zeros(2000)
    np.add.at(effect, data.outcomes.query, data.outcomes.effect)
    effect /= np.bincount(data.outcomes.query)
    assert np.corrcoef(length, effect)[0, 1] < -0.6


def test_texts_have_no_open_slots_and_stay_distinct_when_templates_run_out():
    kinds = [(row % len(TOPICS), 0) for row in range(20000)]
    texts = text.query_texts(kinds, [0.0] * len(kinds), seed=0)
    assert len(set(texts)) == len(kinds)
    assert not [written for written in texts if set("{}|") & set(written) or "  " in written]


def test_an_llm_description_tells_strengths_and_price():
    data = embedded.build_embedded(_config(13, 2600, 12, 1, 1, seed=5))
    effect = np.full((2600, 12), np.nan)
    effect[data.outcomes.query, data.outcomes.llm] = data.outcomes.effect
    by_task = np.stack([np.nanmean(effect[data.queries.task == task], 0) for task in range(13)])
    relative = by_task - by_task.mean(1, keepdims=True) - by_task.mean(0) + by_task.mean()
    for llm, description in enumerate(data.llms.descriptions):
        strong, _, weak = description.split(";")[0].partition("weaker at")
        told = {sign: [topic in part for topic in data.tasks.ids] for sign, part in (("+", strong), ("-", weak))}
        assert relative[told["+"], llm].mean() > relative[told["-"], llm].mean()
        assert ("very expensive" in description) == (data.llms.output_price[llm] >= 15)
    assert len(set(data.llms.families)) == 4


def test_who_costs_more_is_better_on_the_whole():
    data = embedded.build_embedded(_config(5, 1000, 20, 1, 1))
    effect = np.bincount(data.outcomes.llm, data.outcomes.effect) / np.bincount(data.outcomes.llm)
    price = data.llms.output_price
    assert np.corrcoef(np.log(price), effect)[0, 1] > 0.7
    assert price.min() == pytest.approx(0.1)
    assert price.max() == pytest.approx(30)
    tokens = data.outcomes.input_tokens, data.outcomes.output_tokens
    prices = data.llms.input_price[data.outcomes.llm], data.llms.output_price[data.outcomes.llm]
    paid = sum(count * price for count, price in zip(tokens, prices, strict=True)) / 1e6
    np.testing.assert_allclose(data.outcomes.cost, paid, rtol=1e-5)


def test_a_query_keeps_two_outcomes_whatever_goes_missing():
    for num_llms in (2, 3):
        data = embedded.build_embedded(_config(2, 3000, num_llms, 1, 3000))
        assert np.bincount(data.outcomes.query).min() == 2
        assert data.offers.sum(1).min() == 2
