import numpy as np
import pytest

from prouter_jax.data.episodes import FOLDS, HISTORY, Episodes
from prouter_jax.data.history_store import build_store


@pytest.fixture(params=[True, False], ids=["new queries", "known queries"])
def episodes(dataset, request):
    data = dataset.world.interactions
    number = len(data.queries.ids)
    return Episodes(build_store(data), np.arange(number), number, request.param, 0)


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
