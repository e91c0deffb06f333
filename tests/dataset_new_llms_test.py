"""New users and new LLMs: nothing that is hidden is in the world, and what is given is, as it was."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.config import NEW_LLMS, NEW_USERS, SPLITS, TIME, WARM, Data, Embedded
from prouter_jax.data.interactions import strings
from prouter_jax.data.rewards import build_decisions
from prouter_jax.data.splits import split_users
from prouter_jax.data.validation import validate
from prouter_jax.dataset import Dataset, prepare_dataset, read_source

MCE = "multi_cost_efficiency"
COLD = [split for split in SPLITS if split not in (*WARM, TIME)]
NEW = "embed-c,embed-e"


@pytest.fixture(scope="module")
def large():
    """Twenty users' choices among five LLMs, each on thirty of sixty queries, a few on offer at a time; e is dear."""
    embedded = Embedded(num_tasks=3, num_queries=60, num_llms=5, num_users=20, decisions_per_user=30)
    source = read_source(Data(encoder="hash", embedded=embedded))
    ids = strings([f"embed-{letter}" for letter in "abcde"])
    data = source.interactions
    outcomes = dataclasses.replace(
        data.outcomes, cost=data.outcomes.cost * np.where(data.outcomes.llm == 4, 30, 1).astype(np.float32)
    )
    data = data.replace(llms=dataclasses.replace(data.llms, ids=ids), outcomes=outcomes)
    return dataclasses.replace(source, interactions=data)


def _split(source, split, given=0, users="recorded", **more) -> Dataset:
    names = NEW if split in NEW_LLMS else ""
    config = Data(split=split, given=given, users=users, num_users=20, **{"new_llms": names} | more)
    return prepare_dataset(source, config, seed=0)


def _is_new(data):
    return np.isin(data.llms.ids, NEW.split(","))


def _pairs(data):
    """Ids of queries and LLMs of the outcomes."""
    return set(zip(data.queries.ids[data.outcomes.query], data.llms.ids[data.outcomes.llm], strict=True))


def _said(data):
    """By id: user, query, candidates and what was said of each."""
    decisions, llms = build_decisions(data, np.arange(len(data.decisions.user))), data.llms.ids
    columns = (decisions.offered, decisions.target, decisions.rating)
    who = zip(data.users.ids[decisions.user], data.queries.ids[decisions.query], strict=True)
    cells = (tuple(zip(llms, *row, strict=True)) for row in zip(*columns, strict=True))
    return {name: repr(row) for name, *row in zip(data.decisions.ids, who, cells, strict=True)}


def _ids(dataset, part):
    return set(dataset.data.decisions.ids[getattr(dataset.parts, part)])


@pytest.mark.parametrize("users", ["recorded", MCE])
@pytest.mark.parametrize("given", [0, 1, 3, 10**6])
@pytest.mark.parametrize("split", [split for split in SPLITS if split not in ("cold_query", "warm_query", TIME)])
def test_nothing_hidden_is_in_the_world(large, split, given, users):
    dataset = _split(large, split, given, users)
    data, known = validate(dataset.data), validate(dataset.world.interactions)
    test_queries = set(data.queries.ids[dataset.labelled("test").decisions.query])
    assert test_queries
    assert split in WARM or not test_queries & set(known.queries.ids)
    assert set(known.decisions.ids) == _ids(dataset, "train")
    assert not set(known.decisions.ids) & (_ids(dataset, "validation") | _ids(dataset, "test"))
    per_user = np.bincount(known.decisions.user, minlength=20)
    if split in NEW_USERS:
        division = split_users(20, 0.7, 0.1, seed=0)
        new_users = np.append(division.validation, division.test)
        assert per_user[division.train].min() > 0
        assert (per_user[new_users] <= given).all()
        assert given or not per_user[new_users].any()
        assert set(dataset.labelled("validation").decisions.user) <= set(division.validation)
        assert set(dataset.labelled("test").decisions.user) <= set(division.test)
    if split in NEW_LLMS:
        new = _is_new(data)
        with_new = (known.offers & new).any(1)[known.decisions.offer]
        count = np.bincount(known.decisions.query[with_new], minlength=len(known.queries.ids))
        answered = np.zeros(len(count), bool)
        answered[known.outcomes.query[new[known.outcomes.llm]]] = True
        assert not (count > 0)[~answered].any()
        assert given or not (answered.any() or new[known.feedback.llm].any() or (known.offers & new).any())
        assert not dataset.labelled("validation").decisions.offered[:, new].any()
        assert dataset.labelled("test").decisions.offered[:, new].any()
        if users == MCE:
            assert answered.sum() == min(given, len(count))
        else:
            most = given * len(new_users) if split in NEW_USERS else given
            assert with_new.sum() <= most
            assert answered.sum() <= most


@pytest.mark.parametrize("given", [0, 2])
@pytest.mark.parametrize("users", ["recorded", MCE])
@pytest.mark.parametrize("split", COLD)
def test_what_is_hidden_could_be_anything(large, split, users, given):
    """The world is the same whatever the hidden outcomes, the texts of hidden queries and the test's decisions are."""
    if split == "cold_query" and given:
        pytest.skip("nothing is given")
    dataset = _split(large, split, given, users)
    data = large.interactions
    seen = _pairs(dataset.world.interactions)
    pairs = zip(data.queries.ids[data.outcomes.query], data.llms.ids[data.outcomes.llm], strict=True)
    hidden = np.array([pair not in seen for pair in pairs])
    assert hidden.any()
    # costs of new LLMs on training queries fix what a simulated user thinks is dear
    costly = hidden & (dataset.world_query[data.outcomes.query] < 0) if users == MCE else hidden
    outcomes = dataclasses.replace(
        data.outcomes,
        effect=np.where(hidden, 1 - data.outcomes.effect, data.outcomes.effect),
        cost=np.where(costly, 7 * data.outcomes.cost + 1, data.outcomes.cost),
    )
    texts = np.where(dataset.world_query < 0, "something else", data.queries.texts).astype(object)
    other = data.replace(outcomes=outcomes, queries=dataclasses.replace(data.queries, texts=texts))
    if users == "recorded":
        # a choice of a new LLM decides whether the decision is known at all
        unseen = set(data.decisions.ids) - set(dataset.world.interactions.decisions.ids)
        other = other.replace(feedback=_other_choices(data, _ids(dataset, "test") if split in NEW_LLMS else unseen))
    changed = _split(dataclasses.replace(large, interactions=other), split, given, users)
    assert changed.world.digest() == dataset.world.digest()
    for name in ("low", "high"):
        np.testing.assert_array_equal(getattr(changed.world.scale, name), getattr(dataset.world.scale, name))
    train, same = (some.labelled("train").decisions for some in (changed, dataset))
    np.testing.assert_array_equal(train.target, same.target)
    np.testing.assert_array_equal(train.offered, same.offered)


def _other_choices(data, ids):
    """Feedback in which the decisions `ids` chose another candidate."""
    feedback, decisions = data.feedback, data.decisions
    llm = feedback.llm.copy()
    for row in np.flatnonzero(np.isin(decisions.ids[feedback.decision], sorted(ids))):
        offered = data.offers[decisions.offer[feedback.decision[row]]]
        llm[row] = np.flatnonzero(offered)[-1 if llm[row] == offered.argmax() else 0]
    return dataclasses.replace(feedback, llm=llm)


@pytest.mark.parametrize("users", ["recorded", MCE])
@pytest.mark.parametrize("split", ["cold_user", "warm_user", *NEW_LLMS])
def test_more_given_shows_more_and_changes_nothing_else(large, split, users):
    first, *others = (_split(large, split, given, users) for given in (0, 1, 3, 8))
    before = first
    for dataset in others:
        small, great = before.world.interactions, dataset.world.interactions
        assert _pairs(small) <= _pairs(great)
        assert set(small.decisions.ids) <= set(great.decisions.ids)
        assert _said(small) != _said(great)
        for table in ("users", "tasks", "llms", "queries"):
            ids = [getattr(some, table).ids.tolist() for some in (small, great, dataset.data)]
            assert ids[0] == ids[1]
            assert ids[1] == ids[2] or table == "queries"
        np.testing.assert_array_equal(dataset.world_query, first.world_query)
        for part in ("validation", "test"):
            old, new = (some.labelled(part) for some in (first, dataset))
            for column in ("user", "query", "offered", "target"):
                np.testing.assert_array_equal(getattr(new.decisions, column), getattr(old.decisions, column))
            np.testing.assert_array_equal(new.rewards, old.rewards)
        for scale in (dataset.world.scale, dataset.truth_scale):
            assert scale.high.shape == (4,)
        np.testing.assert_array_equal(dataset.world.scale.high, first.world.scale.high)
        before = dataset


@pytest.mark.parametrize("split", ["cold_user", "warm_user", *NEW_LLMS])
def test_what_is_given_is_as_it_was_recorded(large, split):
    recorded = _said(large.interactions)
    first, more = (_split(large, split, given) for given in (0, 5))
    hidden, known = (_said(some.world.interactions) for some in (first, more))
    fresh = {name for name, said in known.items() if hidden.get(name) != said}
    data = large.interactions
    users = dict(zip(data.decisions.ids, data.decisions.user, strict=True))
    division = split_users(20, 0.7, 0.1, seed=0)
    new_users = {*division.validation, *division.test}
    assert len(fresh) == (5 if split == "cold_llm" else 5 * len(new_users))
    assert all(recorded[name] == known[name] for name in fresh)
    assert split == "cold_llm" or {users[name] for name in fresh} == new_users
    assert _said(more.data)[min(_ids(more, "test"))] == recorded[min(_ids(more, "test"))]


def test_given_queries_show_new_llms_to_all_simulated_users(large):
    """k queries, not k for each user: what simulated users decide is complete."""
    dataset = _split(large, "cold_llm", 4, MCE)
    known, new = dataset.world.interactions, _is_new(dataset.data)
    with_new = (known.offers & new).any(1)[known.decisions.offer]
    assert np.bincount(known.decisions.user[with_new]).tolist() == [4] * 20
    assert len(set(known.decisions.query[with_new])) == 4
    dataset = _split(large, "cold_user_llm", 4, MCE)
    known, division = dataset.world.interactions, split_users(20, 0.7, 0.1, seed=0)
    with_new = (known.offers & new).any(1)[known.decisions.offer]
    count = np.bincount(known.decisions.user[with_new], minlength=20)
    assert count[division.train].tolist() == [0] * 14
    assert count[division.test].tolist() == [4] * 4
    assert len(set(known.decisions.query[with_new])) == 4


def test_recorded_choices_of_new_llms_are_dropped_and_others_kept(large):
    data, new = large.interactions, _is_new(large.interactions)
    decisions = build_decisions(data, np.arange(len(data.decisions.user)))
    left = ~decisions.target[:, new].any(1) & (decisions.offered[:, ~new].sum(1) > 1)
    before = _split(large, "cold_query")
    after = _split(large, "cold_llm")
    for part in ("train", "validation", "test"):
        ids = np.array(sorted(_ids(before, part)))
        kept = set(data.decisions.ids[left]) if part != "test" else set(ids)
        assert _ids(after, part) == set(ids) & kept
    place = {name: row for row, name in enumerate(data.decisions.ids)}
    rows = np.array([place[name] for name in after.data.decisions.ids[after.parts.train]])
    train = after.labelled("train").decisions
    np.testing.assert_array_equal(train.target, decisions.target[rows])
    np.testing.assert_array_equal(train.offered, decisions.offered[rows] & ~new)


@pytest.mark.parametrize("feedback", ["choice", "rating"])
def test_simulated_users_choose_the_best_of_the_rest(large, feedback):
    dataset = _split(large, "cold_llm", users=MCE, feedback=feedback)
    whole = _split(large, "cold_query", users=MCE, feedback=feedback)
    new = _is_new(dataset.data)
    assert dataset.parts.train.tolist() == whole.parts.train.tolist()
    for part in ("train", "validation"):
        after, before = dataset.labelled(part), whole.labelled(part)
        assert not after.decisions.offered[:, new].any()
        # the same rewards, for a user's valuation of costs is not what is known of them
        np.testing.assert_array_equal(after.rewards[:, ~new], before.rewards[:, ~new])
        if feedback == "rating":
            np.testing.assert_array_equal(after.decisions.rating[:, ~new], before.decisions.rating[:, ~new])
            continue
        best = np.where(np.isnan(after.rewards), -np.inf, after.rewards)
        best = best > best.max(1, keepdims=True) - 1e-6
        assert (best | ~(after.decisions.target > 0)).all()
        np.testing.assert_allclose(after.decisions.target.sum(1), 1)
    moved = whole.labelled("train").decisions
    assert feedback == "rating" or moved.target[:, new].any()


def test_rewards_of_the_test_are_the_same_whatever_training_sees(large):
    expected = _split(large, "cold_query", users=MCE).labelled("test").rewards
    every = _split(large, "cold_query", users=MCE).labelled("test").decisions.user
    for split in NEW_LLMS:
        dataset = _split(large, split, users=MCE)
        assert (dataset.world.scale.high < dataset.truth_scale.high).all()
        test = dataset.labelled("test")
        np.testing.assert_array_equal(test.rewards, expected[np.isin(every, test.decisions.user)])


def test_costs_of_new_llms_do_not_stretch_the_scale(large):
    data, new = large.interactions, _is_new(large.interactions)
    cost = np.where(new[data.outcomes.llm], 1e3, data.outcomes.cost).astype(np.float32)
    dear = data.replace(outcomes=dataclasses.replace(data.outcomes, cost=cost))
    dear = dataclasses.replace(large, interactions=dear)
    for given in (0, 5):
        plain, other = (_split(some, "cold_llm", given) for some in (large, dear))
        np.testing.assert_array_equal(other.world.scale.high, plain.world.scale.high)
        assert (other.truth_scale.high == 1e3).all()
    whole = _split(dear, "cold_query")
    np.testing.assert_array_equal(whole.truth_scale.high, whole.world.scale.high)


def test_new_users_on_known_queries_leave_everything_of_known_users_in_training(large):
    dataset, division = _split(large, "warm_user", 2), split_users(20, 0.7, 0.1, seed=0)
    data = dataset.data
    train, test = (data.decisions.user[getattr(dataset.parts, part)] for part in ("train", "test"))
    count = np.bincount(train, minlength=20)
    assert (count[division.train] == 30).all()
    assert (count[[*division.validation, *division.test]] == 2).all()
    assert (np.bincount(test, minlength=20)[division.test] == 9).all()  # of thirty, what is not of the training share
    assert len(dataset.world.interactions.queries.ids) == len(data.queries.ids)


def test_new_users_are_of_every_preference(large):
    dataset = _split(large, "cold_user", users=MCE)
    known = np.unique(dataset.data.decisions.user[dataset.parts.train])
    test = np.unique(dataset.data.decisions.user[dataset.parts.test])
    preference = dataset.data.users.preference
    assert preference[known].min() < preference[test].max()
    assert preference[test].min() < preference[known].max()


def test_an_unknown_new_llm_is_named(large):
    with pytest.raises(ValueError, match=r"^config\.data\.new_llms: .* found 'gpt-9'$"):
        _split(large, "cold_llm", new_llms="embed-a,gpt-9")
