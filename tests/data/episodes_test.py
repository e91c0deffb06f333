import numpy as np
import pytest

from prouter_jax.data.episodes import FOLDS, HISTORY, Episodes, users_left_out
from prouter_jax.data.history_store import build_store


@pytest.fixture(params=[True, False], ids=["new queries", "known queries"])
def episodes(dataset, request):
    data = dataset.world.interactions
    number = len(data.queries.ids)
    return Episodes(build_store(data), np.arange(number), number, request.param, 0, np.arange(6))


def test_an_episode_is_a_function_of_seed_number_and_fold(episodes):
    first, again, next_one = episodes.rows(3, 1), episodes.rows(3, 1), episodes.rows(4, 1)
    np.testing.assert_array_equal(first["history"]["query"], again["history"]["query"])
    assert (first["user"] != next_one["user"]).any()


def test_users_are_of_the_fold(episodes):
    for fold in range(FOLDS):
        assert set(episodes.rows(0, fold)["user"] % FOLDS) == {fold}


def test_histories_and_decisions_to_predict_have_no_decision_in_common(episodes):
    drawn = [episodes.rows(number, 0) for number in range(5)]
    for episode in drawn:
        history, predicted = episode["history"], episode["predicted"]
        for user in range(len(episode["user"])):
            shown = [set(part["query"][user][part["shown"][user] > 0]) for part in (history, predicted)]
            assert not shown[0] & shown[1]
    lengths = np.concatenate([episode["history"]["shown"].sum(1) for episode in drawn])
    assert lengths.min() == 0
    assert 5 <= lengths.max() <= HISTORY


def test_new_queries_are_hidden_from_histories_and_from_the_kernel(episodes):
    if not episodes.new_queries:
        assert len(episodes.rows(0, 0)["hidden"]) == 0
        return
    episode = episodes.rows(0, 0)
    hidden, known = set(episode["hidden"]), set(episode["known"])
    assert not hidden & known
    history, predicted = episode["history"], episode["predicted"]
    assert not hidden & set(history["query"][history["shown"] > 0])
    asked = predicted["shown"] > 0
    assert asked.any()
    np.testing.assert_array_equal(episode["hidden"][episode["place"][asked]], predicted["query"][asked])


def test_of_many_queries_an_episode_names_few_and_hides_what_its_users_decided_on(dataset, episodes):
    number = 50_000
    spread = np.random.default_rng(0).permutation(number)[: episodes.num_queries]
    many = Episodes(episodes.store, spread, number, episodes.new_queries, 0, np.arange(6))
    drawn = [many.rows(at, 0) for at in range(3)]
    assert len({len(episode["queries"]) for episode in drawn}) == 1
    assert len(drawn[0]["queries"]) < 5_000
    for episode in drawn:
        asked = episode["predicted"]["shown"] > 0
        assert asked.any(1).all()
        rows = episode["queries"]
        for part in ("history", "predicted"):
            decided = rows[episode[part]["query"][episode[part]["shown"] > 0]]
            assert set(decided) <= set(spread)
        assert not set(rows[episode["known"]]) & set(rows[episode["hidden"]])
        assert len(set(rows[episode["known"]])) == len(episode["known"])
        if episodes.new_queries:
            history = episode["history"]
            assert not set(episode["hidden"]) & set(history["query"][history["shown"] > 0])
            np.testing.assert_array_equal(
                episode["hidden"][episode["place"][asked]], episode["predicted"]["query"][asked]
            )


def test_few_users_are_left_out_of_many():
    assert len(users_left_out(19)) == 0
    assert len(users_left_out(1000)) == 50
    many = users_left_out(10**6)
    assert len(set(many)) == len(many) < 10**6 / 400
    assert many.max() == 10**6 - 1


def test_episodes_have_the_users_that_they_may_have(dataset):
    number = len(dataset.world.interactions.queries.ids)
    some = np.array([0, 2, 3, 5])
    episodes = Episodes(build_store(dataset.world.interactions), np.arange(number), number, True, 0, some)
    assert [set(episodes.rows(0, fold)["user"]) for fold in range(FOLDS)] == [{0, 5}, {2}, {3}]
