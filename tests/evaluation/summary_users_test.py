"""A report's single users: who is explained, by which query, and where users stand on the map."""

import dataclasses
import html

import numpy as np
import pytest

from prouter_jax import Router
from prouter_jax.data.interactions import THUMB, Feedback, Users, strings
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.evaluation import summary as module
from prouter_jax.evaluation.evaluate import SeedResult, Selections
from prouter_jax.evaluation.summary import explain_users, map_users
from prouter_jax.model.inference import score_decisions
from prouter_jax.report import types
from prouter_jax.report.plots_users import plot_user_map
from prouter_jax.report.write import to_html, to_json
from prouter_jax.serving.explain import DecisionInfluence, Explanation, PropertyInfluence

NAN = float("nan")


@pytest.fixture(scope="module")
def router(experiment_workdir) -> Router:
    return Router.load(experiment_workdir)


def _result(preference, user, llm) -> SeedResult:
    """Picks of the router, of three LLMs."""
    nothing = np.zeros(len(user), np.float32)
    picks = Selections(np.array(llm), *[nothing] * 4)
    users = Users(strings([f"u{i}" for i in range(len(preference))]), np.array(preference, float))
    rows = np.array(user)
    return SeedResult(users, strings([]), strings("abc"), rows, rows * 0 - 1, rows * 0, {types.ROUTER: picks})


def test_users_are_the_first_the_middle_and_the_last_in_preference():
    result = _result([0.9, 0.1, 0.5, 0.3, 0.7], range(5), [0] * 5)
    assert module._first_to_last(result, np.arange(5)).tolist() == [1, 2, 0]
    assert module._first_to_last(result, np.array([0, 2])).tolist() == [0, 2]


def test_users_of_unknown_preference_are_those_of_the_most_different_picks():
    user = np.repeat(np.arange(5), 2)
    result = _result([NAN] * 5, user, [0, 0, 0, 0, 1, 1, 0, 1, 2, 2])
    assert {row % 5 for row in module._first_to_last(result, np.arange(5)).tolist()} in ({0, 2, 4}, {1, 2, 4})


def test_the_explained_pick_is_the_evaluated_pick(router, experiment):
    """The pick is the router's for that user and test query, among the LLMs that were on offer there."""
    dataset = prepare_dataset(read_source(experiment.data), experiment.data, experiment.seed)
    test = dataset.labelled("test").decisions
    scores = np.where(test.offered, score_decisions(router.scorer, dataset, test), -np.inf)
    picked = scores.argmax(1)
    ids = dataset.data.users.ids
    zeros = [np.zeros(len(picked), np.float32)] * 4
    result = SeedResult(
        *(dataset.data.users, dataset.data.tasks.ids, dataset.data.llms.ids),
        *(test.user, test.query, test.query, {types.ROUTER: Selections(picked, *zeros)}),
    )
    found = explain_users(router, dataset, result)
    assert len({explained.user_id for explained in found}) == 3
    for explained in found:
        texts = dataset.data.queries.texts[test.query]
        row = np.flatnonzero((ids[test.user] == explained.user_id) & (texts == explained.query))[0]
        assert explained.llm == dataset.data.llms.ids[picked[row]]
        logits = router.trained.temperature * scores[row]
        shares = np.exp(logits - logits.max())
        assert explained.probability == pytest.approx(1 / shares.sum(), abs=1e-5)
        assert explained.num_decisions == (ids[router.interactions.decisions.user] == explained.user_id).sum()


def test_a_map_shows_the_directions_in_which_users_differ_most(router):
    """States on a line are on a line on the map, in the same order."""
    data = router.interactions
    number, width = router.users.shape
    place = np.linspace(-1, 2, number)
    along = np.random.default_rng(0).normal(size=width)
    found = map_users(dataclasses.replace(router, users=(np.outer(place, along) + 3).astype(np.float32)))
    assert found is not None
    assert found.users == data.users.ids.tolist()
    assert found.explained_variance[0] == pytest.approx(1, abs=1e-5)
    assert abs(np.corrcoef(found.points[:, 0], place)[0, 1]) > 0.9999
    spread = (router.scorer.answers - router.scorer.answers.mean(1, keepdims=True)).std((0, 1))
    length = np.linalg.norm(along * spread)
    assert np.ptp(found.points[:, 0]) == pytest.approx(3 * length, rel=1e-3)


def test_a_map_has_favourites_and_leaves_out_users_without_history(router, monkeypatch):
    data = router.interactions
    found = map_users(router)
    assert found is not None
    for user, favourite in enumerate(found.favourite):
        theirs = data.decisions.user[data.feedback.decision] == user
        counts = np.bincount(data.feedback.llm[theirs], data.feedback.value[theirs], len(data.llms.ids))
        assert counts[list(data.llms.ids).index(favourite)] == counts.max()
    kept = dataclasses.replace(data.decisions, user=np.maximum(data.decisions.user, 2).astype(np.int32))
    fewer = map_users(dataclasses.replace(router, interactions=data.replace(decisions=kept)))
    assert fewer is not None
    assert fewer.users == data.users.ids[2:].tolist()
    monkeypatch.setattr(module, "_MOST_ON_MAP", 4)
    some = map_users(router)
    assert some is not None
    assert (len(some.users), some.users[0], some.users[-1]) == (4, data.users.ids[0], data.users.ids[-1])


def test_favourites_of_thumbs_are_the_llms_with_thumbs_up(router):
    """A log has a thumb for one LLM a decision, and no choice."""
    data = router.interactions
    llm = len(data.llms.ids) - 1
    decisions = np.arange(len(data.decisions.user), dtype=np.int32)
    liked = np.where(data.decisions.user[decisions] == 0, 0, 1).astype(np.float32)  # user 0 likes nothing
    thumbs = Feedback(decisions, np.full(len(decisions), THUMB, np.int8), np.full(len(decisions), llm, np.int32), liked)
    found = map_users(dataclasses.replace(router, interactions=data.replace(feedback=thumbs)))
    assert found is not None
    assert found.favourite[0] == types.NONE
    assert set(found.favourite[1:]) == {str(data.llms.ids[llm])}


def test_without_differences_there_is_no_map(router):
    assert map_users(dataclasses.replace(router, users=np.ones_like(router.users))) is None


# ---- On the page.

ODD = "a<b>&c | 用户"


def _report(user_map: types.UserMap | None = None) -> types.Report:
    explained = Explanation(
        *(ODD, f"{ODD}?", ODD, 0.75, "llm 1", 0.25),
        *(
            [DecisionInfluence("Why?", f"chose {ODD}", 0.125, 0.5)],
            [PropertyInfluence("latent factors", 1.5, NAN, NAN)],
        ),
        *(7, 1, True),
    )
    users = [types.UserRow(ODD, 0.5, 0.1, 0.1, ODD)]
    shares = types.ShareTable([ODD], [ODD, "llm 1"], np.array([[0.25, 0.75]]))
    return types.Report("r", {}, "reward", {}, [], users, shares, [], [explained], user_map)


def test_the_page_explains(router):
    page = to_html(_report())
    assert f"<h3>{html.escape(ODD)} (preference 0.50)</h3>" in page
    assert f"{html.escape(ODD)} is picked with probability 0.750; llm 1 is second with probability 0.250." in page
    assert "The influence of 1 of the user&#39;s 7 past decisions was measured (the newest)." in page
    row = ["+12.5 points", f"chose {html.escape(ODD)}: Why?"]
    assert "".join(f"<td>{cell}</td>" for cell in row) in page
    assert "<td>+1.500</td><td>what similar users like</td>" in page
    assert "<b>" not in page
    assert '"new_user_weight": null' in to_json(_report())
    assert "Why this LLM" not in to_html(dataclasses.replace(_report(), explanations=None))


def _map(preference, favourite) -> types.UserMap:
    points = np.stack([np.arange(len(preference)), np.zeros(len(preference))], 1).astype(float)
    return types.UserMap(strings(range(len(preference))), points, np.array(preference), favourite, (0.75, 0.25))


def test_the_map_is_coloured_by_preference_else_by_favourite():
    known = plot_user_map(_report(_map(np.linspace(0, 1, 11), [ODD] * 11)))
    assert known is not None
    assert "0.80 to 1.00" in known.svg
    assert "explains 100.0 % of the variance of the preference" in known.caption
    unknown = plot_user_map(_report(_map([NAN, 0.5, NAN], ["llm 1", ODD, "other"])))
    assert unknown is not None
    assert "llm 1: 1; " in unknown.svg
    assert html.escape(ODD) in unknown.svg
    assert "preference" not in unknown.caption
    assert plot_user_map(_report()) is None


def test_an_llm_has_one_colour_on_all_plots():
    """The most chosen one has the first colour, though the map has more users of another."""
    drawn = plot_user_map(_report(_map([NAN] * 3, ["llm 1", ODD, ODD])))
    assert drawn is not None
    assert drawn.svg.lower().index("#0072b2") < drawn.svg.lower().index("#e69f00")
    first, second = (drawn.svg.lower().count(f"fill: {colour}") for colour in ("#0072b2", "#e69f00"))
    assert first < second


def test_users_of_one_preference_are_one_band():
    drawn = plot_user_map(_report(_map([0.5] * 3, [ODD] * 3)))
    assert drawn is not None
    assert "0.50: 3" in drawn.svg
    assert "0.50 to" not in drawn.svg
