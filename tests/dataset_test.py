"""What may be known and what is asked: nothing of the test is in the world."""

import dataclasses
import hashlib

import numpy as np
import pytest

from prouter_jax.data import interactions as tables
from prouter_jax.data.rewards import build_decisions, build_rewards, fit_cost_scale
from prouter_jax.data.style_features import with_answer_style
from prouter_jax.dataset import encode_texts, prepare_dataset, read_interactions, read_source
from prouter_jax.llm.simulated_users import build_llm_as_judge, make_judge


@pytest.fixture
def source(tiny_config):
    return read_source(tiny_config.data)


def _ids(dataset, part):
    return set(dataset.data.decisions.ids[getattr(dataset.parts, part)])


@pytest.mark.parametrize("split", ["cold_query", "warm_query"])
def test_the_world_knows_the_training_decisions_and_no_others(tiny_config, source, split):
    tiny_config.data.split = split
    dataset = prepare_dataset(source, tiny_config.data, 0)
    parts = [_ids(dataset, part) for part in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(dataset.data.decisions.ids)
    assert all(parts)
    known = dataset.world.interactions
    assert set(known.decisions.ids) == parts[0]
    place = {name: row for row, name in enumerate(dataset.data.decisions.ids)}
    rows = np.array([place[name] for name in known.decisions.ids])
    for column in ("user", "time"):
        np.testing.assert_array_equal(getattr(known.decisions, column), getattr(dataset.data.decisions, column)[rows])
    asked = dataset.data.queries.ids[dataset.data.decisions.query[rows]]
    np.testing.assert_array_equal(known.queries.ids[known.decisions.query], asked)


def test_effects_can_be_left_out(tiny_config, source):
    tiny_config.data.ignore_effects = True
    found = read_source(tiny_config.data).interactions.outcomes
    assert np.isnan(found.effect).all()
    np.testing.assert_array_equal(found.cost, source.interactions.outcomes.cost)
    np.testing.assert_array_equal(found.style, source.interactions.outcomes.style)


def test_users_can_be_limited_to_the_first(tiny_config, source):
    tiny_config.data.most_users = 3
    found, whole = read_source(tiny_config.data).interactions, source.interactions
    np.testing.assert_array_equal(found.users.ids, whole.users.ids[:3])
    np.testing.assert_array_equal(found.decisions.ids, whole.decisions.ids[whole.decisions.user < 3])
    everything = build_decisions(whole, np.flatnonzero(whole.decisions.user < 3))
    np.testing.assert_array_equal(
        build_decisions(found, np.arange(len(found.decisions.user))).target, everything.target
    )


def test_new_queries_are_not_in_the_world_at_all(dataset):
    known = dataset.world.interactions
    for part in ("validation", "test"):
        query = dataset.labelled(part).decisions.query
        assert not set(dataset.data.queries.ids[query]) & set(known.queries.ids)
        assert (dataset.world_query[query] == -1).all()
    held = dataset.world_query >= 0
    np.testing.assert_array_equal(dataset.data.queries.ids[held], known.queries.ids[dataset.world_query[held]])
    np.testing.assert_array_equal(dataset.vectors.query[held], dataset.world.vectors.query)
    of_known = held[dataset.data.outcomes.query]
    np.testing.assert_array_equal(known.outcomes.effect, dataset.data.outcomes.effect[of_known])
    llm = known.llms.ids[known.outcomes.llm]
    np.testing.assert_array_equal(llm, dataset.data.llms.ids[dataset.data.outcomes.llm[of_known]])


def test_known_queries_stay_with_all_their_outcomes(tiny_config, source):
    tiny_config.data.split = "warm_query"
    dataset = prepare_dataset(source, tiny_config.data, 0)
    known = dataset.world.interactions
    np.testing.assert_array_equal(known.queries.ids, dataset.data.queries.ids)
    assert len(known.outcomes.llm) == len(dataset.data.outcomes.llm)
    np.testing.assert_array_equal(dataset.world_query, np.arange(len(known.queries.ids)))
    assert set(np.unique(known.decisions.user)) == set(range(6))


def test_by_time_the_world_ends_where_training_does(tiny_config, source):
    data, rng = source.interactions, np.random.default_rng(0)
    number = len(data.decisions.ids)
    late = data.decisions.query < 20  # nobody asks these before the end
    time = np.where(late, number, 0) + rng.permutation(number)
    never = data.queries.ids[np.setdiff1d(np.arange(len(data.queries.ids)), data.decisions.query)]
    timed = data.replace(decisions=dataclasses.replace(data.decisions, time=time.astype(float)))
    tiny_config.data.split, tiny_config.data.train_share, tiny_config.data.validation_share = "time", 0.5, 0.1
    dataset = prepare_dataset(dataclasses.replace(source, interactions=timed), tiny_config.data, 0)
    parts = dataset.parts
    assert time[parts.train].max() < time[parts.validation].min() < time[parts.test].min()
    world = dataset.world.interactions
    assert set(world.decisions.ids) == _ids(dataset, "train")
    asked = set(data.queries.ids[data.decisions.query[parts.train]])
    assert set(world.queries.ids) == asked | set(never)
    assert not set(world.queries.ids) & set(data.queries.ids[np.unique(data.decisions.query[late])])
    assert set(world.outcomes.query) <= set(range(len(world.queries.ids)))


def test_costs_are_scaled_by_what_training_queries_cost(dataset, tiny_config, source):
    outcomes = source.interactions.outcomes
    new = dataset.world_query[outcomes.query] < 0
    dear = dataclasses.replace(outcomes, cost=np.where(new, 1e3, outcomes.cost).astype(np.float32))
    other = prepare_dataset(
        dataclasses.replace(source, interactions=source.interactions.replace(outcomes=dear)), tiny_config.data, 0
    )
    for name in ("low", "high"):
        np.testing.assert_array_equal(getattr(other.world.scale, name), getattr(dataset.world.scale, name))
        expected = getattr(fit_cost_scale(dataset.world.interactions), name)
        np.testing.assert_array_equal(getattr(dataset.world.scale, name), expected)
    assert other.world.digest() == dataset.world.digest()


def test_a_seed_decides_the_split_and_nothing_else_does(tiny_config, source):
    first, same, other = (prepare_dataset(source, tiny_config.data, seed) for seed in (0, 0, 1))
    for name, rows in vars(first.parts).items():
        np.testing.assert_array_equal(rows, getattr(same.parts, name))
    assert set(first.parts.test) != set(other.parts.test)


def test_labels_are_the_decisions_and_their_rewards(shared_dataset):
    labelled = shared_dataset.labelled("test")
    decisions = build_decisions(shared_dataset.data, shared_dataset.parts.test)
    np.testing.assert_array_equal(labelled.decisions.query, decisions.query)
    rewards = build_rewards(shared_dataset.data, shared_dataset.world.scale, decisions)
    np.testing.assert_array_equal(labelled.rewards, rewards)
    # a simulated user's rating is its reward
    np.testing.assert_allclose(labelled.rewards[decisions.offered], decisions.rating[decisions.offered], atol=1e-5)


def test_simulated_users_rate_every_query_of_every_part(shared_dataset):
    data = shared_dataset.data
    assert len(data.decisions.user) == 6 * len(data.queries.ids)
    np.testing.assert_allclose(data.users.preference, np.linspace(0.2, 1.0, 6), rtol=1e-6)


def test_given_vectors_are_those_of_the_data(source):
    data = source.interactions
    with pytest.raises(ValueError, match="expected vectors in the data for 'given', found none"):
        encode_texts(data, "given")
    given = np.arange(2.0 * len(data.queries.ids), dtype=np.float32).reshape(-1, 2)
    data = data.replace(queries=dataclasses.replace(data.queries, vectors=given))
    vectors = encode_texts(data, "given")
    np.testing.assert_array_equal(vectors.query, given)
    assert vectors.task.shape == (len(data.tasks.ids), 2)
    assert vectors.llm.shape[0] == len(data.llms.ids)


def test_a_pool_without_decisions_needs_simulated_users(tiny_config, monkeypatch, source):
    data = source.interactions.replace(decisions=tables.no_decisions(), feedback=tables.no_feedback())
    monkeypatch.setattr("prouter_jax.dataset.build_embedded", lambda _: data)
    with pytest.raises(ValueError, match="expected recorded decisions, found none"):
        read_source(tiny_config.data)
    tiny_config.data.users = "multi_cost_efficiency"
    assert len(prepare_dataset(read_source(tiny_config.data), tiny_config.data, 0).parts.train)


@pytest.mark.parametrize(
    ("split", "users", "expected"),
    [
        ("cold_query", "recorded", ["0d83f93773d265d7", "bf03c837ce38e4f6"]),
        ("cold_query", "multi_cost_efficiency", ["c5fffd2453ba8aa2", "813999f3d559ee89"]),
        ("warm_query", "recorded", ["b45e4168f0d6fbbc", "ba44485ef5b1d118"]),
        ("warm_query", "multi_cost_efficiency", ["f308d472e18c38ba", "92287dffd2d00550"]),
    ],
)
def test_the_splits_of_published_results_stay_as_they_were(tiny_config, split, users, expected):
    tiny_config.data.split, tiny_config.data.users, tiny_config.data.num_users = split, users, 6
    tiny_config.data.embedded.num_queries = 40
    source = read_source(tiny_config.data)
    for seed, digest in enumerate(expected):
        parts = prepare_dataset(source, tiny_config.data, seed).parts
        rows = b"|".join(rows.astype(np.int64).tobytes() for rows in (parts.train, parts.validation, parts.test))
        assert hashlib.sha256(rows).hexdigest()[:16] == digest


def test_texts_of_answers_become_their_style(source, tiny_config, monkeypatch):
    data = source.interactions
    texts = tables.strings([f"Well, step {row}!" * (row % 3) for row in range(len(data.outcomes.llm))])
    data = data.replace(outcomes=dataclasses.replace(data.outcomes, response=texts, style=None))
    monkeypatch.setattr("prouter_jax.dataset.build_embedded", lambda _: data)
    outcomes = read_source(tiny_config.data).interactions.outcomes
    assert outcomes.response is None
    np.testing.assert_array_equal(outcomes.style, with_answer_style(data).outcomes.style)
    known = prepare_dataset(read_source(tiny_config.data), tiny_config.data, 0).world.interactions.outcomes
    assert known.style is not None
    assert known.style.shape == (len(known.llm), outcomes.style.shape[1])


def test_judged_users_are_the_same_for_every_seed(tiny_config):
    tiny_config.data.users, tiny_config.data.num_users = "llm_as_judge", 12
    source = read_source(tiny_config.data)
    data = source.interactions
    raw = read_interactions(tiny_config.data)
    judge = make_judge(tiny_config.data.judge, raw)
    expected = build_llm_as_judge(raw, judge, 12, tiny_config.data.judge.seed)
    np.testing.assert_array_equal(data.users.ids, expected.users.ids)
    np.testing.assert_array_equal(data.feedback.llm, expected.feedback.llm)
    assert data.outcomes.response is None
    for seed in (0, 1):
        assert prepare_dataset(source, tiny_config.data, seed).data.feedback is data.feedback
