"""A world that has grown: nothing changes for what was there, and new LLMs are met as they are talked of."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import NAN, Facts, chosen, network_of, on_offer, rounds, some_facts

from prouter_jax.graph.history import read_histories
from prouter_jax.model import new_llms
from prouter_jax.model.answer_features import EFFECT
from prouter_jax.model.new_llms import extend_network

FACTS = some_facts(queries=30)
SMALL = {"factor_dim": 2, "warmup_rounds": 1}


@pytest.fixture(scope="module")
def trained():
    network, graph = network_of(FACTS.world(), **SMALL)
    return network, graph, rounds(network, graph, 6)


@functools.partial(jax.jit, static_argnums=0)
def _liking(network, params, graph):
    """What every user thinks of every answer, [users, queries, llms]."""
    rounds = network.bind(params)
    answers = rounds.answers(graph)
    return jnp.einsum("up,qlp->uql", rounds.read_users(graph, answers), answers)


def _grown(users=0, queries=0, llms=0, offered_to=0, liked=0.0) -> Facts:
    """More users, queries and LLMs; of the new LLMs nothing is measured, `offered_to` users may choose them on new
    queries, and choose them with probability `liked`."""
    rng = np.random.default_rng(7)
    effect, cost = (np.pad(x, ((0, queries), (0, llms)), constant_values=NAN) for x in (FACTS.effect, FACTS.cost))
    offered, feedback = (np.pad(x, ((0, 0), (0, llms))) for x in (FACTS.offered, FACTS.feedback))
    user, query = FACTS.user, FACTS.query
    if offered_to:
        at = np.repeat(np.arange(offered_to), queries)
        user, query = np.append(user, at), np.append(query, np.tile(30 + np.arange(queries), offered_to))
        every = np.ones((len(at), 4 + llms), bool)
        new = rng.random(len(at)) < liked
        choice = np.where(new, 4, rng.integers(0, 4, len(at)))
        offered, feedback = np.concatenate([offered, every]), np.concatenate([feedback, np.eye(4 + llms)[choice]])
    if users:
        last = FACTS.user == 5
        user, query = np.append(user, np.full(last.sum(), 5 + users)), np.append(query, FACTS.query[last])
        offered, feedback = (
            np.concatenate([offered, FACTS.offered[last] @ np.eye(4, 4 + llms, dtype=bool)]),
            np.concatenate([feedback, FACTS.feedback[last] @ np.eye(4, 4 + llms)]),
        )
    return Facts(effect, cost, user, query, offered, feedback)


def test_a_world_that_is_as_it_was_changes_nothing(trained):
    network, graph, params = trained
    same, kept = extend_network(network, params, graph)
    assert same is network
    assert kept is params


def test_new_users_and_queries_change_nothing_for_the_others(trained):
    network, graph, params = trained
    bigger = _grown(users=1, queries=5).world().build_graph()
    grown, found = extend_network(network, params, bigger)
    assert (grown.queries, grown.llms) == (bigger.layout.num("query"), 4)
    for name in ("population_mean", "precision", "llm_offers", "users", "has_history"):
        np.testing.assert_array_equal(found[name], params[name])
    after, before = _liking(grown, found, bigger), _liking(network, params, graph)
    np.testing.assert_allclose(after[:6, :30], before[:6, :30], atol=1e-3)
    np.testing.assert_allclose(after[6, :30], before[5, :30], atol=1e-3)  # the newcomer has the history of the last


def test_new_llms_leave_the_liking_of_the_others_as_it_was(trained):
    network, graph, params = trained
    bigger = _grown(llms=2).world().build_graph()
    grown, found = extend_network(network, params, bigger)
    assert grown.features.llm_state + grown.features.own_columns == 6
    assert found["latent_factors"].shape == (grown.queries, 6, 2)
    after, before = _liking(grown, found, bigger), _liking(network, params, graph)
    np.testing.assert_allclose(after[:6, :30, :4], before[:6, :30], atol=5e-3)


def test_a_new_llm_nobody_met_is_liked_as_llms_are_on_average(trained):
    network, _, params = trained
    bigger = _grown(llms=1).world().build_graph()
    grown, found = extend_network(network, params, bigger)
    at = grown.features.llm_start
    population_mean = np.asarray(found["population_mean"])[at : at + 5]
    np.testing.assert_allclose(population_mean[:4], params["population_mean"][at : at + 4], atol=1e-6)
    assert population_mean[4] == pytest.approx(population_mean[:4].mean(), abs=1e-4)
    covariance = np.linalg.inv(np.asarray(found["precision"], float))
    of_llms = np.diag(covariance)[at : at + 5]
    assert of_llms[4] == pytest.approx(of_llms[:4].mean(), rel=1e-2)


def test_what_users_say_of_a_new_llm_moves_the_crowd(trained):
    network, _, params = trained
    found = {}
    for liked in (0.0, 0.2, 0.9):
        bigger = _grown(queries=6, llms=1, offered_to=6, liked=liked).world().build_graph()
        grown, new = extend_network(network, params, bigger)
        at = grown.features.llm_start
        found[liked] = np.asarray(new["population_mean"])[at : at + 5]
        np.testing.assert_allclose(found[liked][:4], params["population_mean"][at : at + 4], atol=1e-6)
    assert found[0.0][4] < found[0.2][4] < found[0.9][4]
    assert found[0.9][4] > found[0.9][:4].mean() + 0.3


def test_a_measured_answer_of_a_new_llm_counts_for_what_it_is_others_for_less():
    plain = {**SMALL, "factor_dim": 0, "style": False, "llm_weights": False, "population_mean": False}
    network, graph = network_of(FACTS.world(), **plain)
    params = rounds(network, graph, 4)
    start = np.asarray(network.bind(network.init(jax.random.key(0))).answers(graph))
    np.testing.assert_array_equal(start, network.bind(params).answers(graph))
    found = {}
    for shown in (0, 4):
        facts = _grown(queries=4, llms=1)
        facts.effect[:shown, 4] = 0.5
        bigger = facts.world().build_graph()
        grown, offers = extend_network(network, params, bigger)
        found[shown] = np.asarray(grown.bind(offers).answers(bigger))[:, :, EFFECT]
    means = FACTS.effect.mean(0)
    np.testing.assert_allclose(found[0][:34, 4], means.mean() - means.std(), rtol=1e-4)
    np.testing.assert_allclose(found[4][:4, 4], 0.5)
    usual = (4 * 0.5 + 3 * (FACTS.effect.sum() + 4 * 0.5) / (FACTS.effect.size + 4)) / 7
    np.testing.assert_allclose(found[4][4:34, 4], usual - means.std() * np.sqrt(3 / 7), rtol=1e-4)


def _priced(facts: Facts, new: int):
    """A world whose effects rise with the price of the LLM; of the last `new` LLMs nothing is measured or chosen."""
    llms = facts.effect.shape[1]
    log_price = np.where(np.arange(llms) < llms - new, np.linspace(-2, 2, llms), 1.5)
    effect = 0.5 + 0.1 * log_price + 0.05 * np.random.default_rng(4).normal(size=facts.effect.shape)
    effect[:, llms - new :] = NAN
    cost = np.where(np.isnan(effect), NAN, 0.1 * np.exp(log_price))
    world = dataclasses.replace(facts, effect=effect, cost=cost).world()
    prices = {name: np.exp(log_price) for name in ("input_price", "output_price")}
    data = world.interactions
    return dataclasses.replace(world, interactions=data.replace(llms=dataclasses.replace(data.llms, **prices)))


def test_an_llm_nobody_measured_is_expected_to_be_what_its_price_says():
    facts = some_facts(queries=30, llms=14)
    offered = facts.offered & (np.arange(14) < 13)
    offered |= (offered.sum(1, keepdims=True) < 2) & (np.arange(14) < 3)
    rng = np.random.default_rng(3)
    facts = dataclasses.replace(facts, offered=offered, feedback=chosen(rng.normal(size=offered.shape), offered, rng))
    world = _priced(facts, new=1)
    network, graph = network_of(world, **SMALL)
    params = rounds(network, graph, 2)
    before = np.asarray(network.bind(params).answers(graph))[:30]
    grown, found = extend_network(network, params, graph)
    after = np.asarray(grown.bind(found).answers(graph))[:30]
    np.testing.assert_allclose(after[:, 13, EFFECT].mean(), 0.65, atol=0.04)
    assert before[:, 13, EFFECT].mean() < 0.55
    np.testing.assert_array_equal(after[:, :13, :2], before[:, :13, :2])


def test_llms_that_training_offered_are_not_predicted():
    world = _priced(some_facts(queries=30, llms=14), new=1)
    network, graph = network_of(world, **SMALL)
    _, found = extend_network(network, {**rounds(network, graph, 1), "llm_offers": np.ones(14)}, graph)
    assert "llm_prior" not in found


def test_a_known_llm_that_training_never_offered_is_new_too():
    offered = FACTS.offered & (np.arange(4) != 3)
    rng = np.random.default_rng(3)
    offered |= (offered.sum(1, keepdims=True) < 2) & (np.arange(4) < 3)
    quiet = dataclasses.replace(FACTS, offered=offered, feedback=chosen(rng.normal(size=offered.shape), offered, rng))
    network, graph = network_of(quiet.world(), **SMALL)
    params = rounds(network, graph, 4)
    assert params["llm_offers"][3] == 0
    every = on_offer(len(FACTS.user), 4, 4, rng)
    loved = dataclasses.replace(FACTS, offered=every, feedback=np.eye(4)[np.full(len(FACTS.user), 3)])
    grown, found = extend_network(network, params, loved.world().build_graph())
    at = network.features.llm_start
    assert grown == network
    assert found["population_mean"][at + 3] > params["population_mean"][at : at + 3].max() + 0.5


def _excellent(picked: np.ndarray | None = None) -> Facts:
    """A new LLM whose answers have far more effect than any; nobody met it, or users chose it on new queries where
    `picked` (bool [users, queries])."""
    queries, users = (1, 0) if picked is None else picked.T.shape
    facts = _grown(queries=queries, llms=1, offered_to=users)
    feedback = facts.feedback.copy()
    if picked is not None:
        feedback[np.flatnonzero(facts.offered[:, 4])[picked.ravel()]] = np.eye(5)[4]
    effect = np.where(np.arange(5) == 4, FACTS.effect.max() + 1, facts.effect)
    return dataclasses.replace(facts, effect=effect, feedback=feedback)


def test_users_weights_are_half_heeded_of_a_new_llm_unlike_the_known(trained):
    network, _, params = trained
    graph = _excellent().world().build_graph()
    grown, found = extend_network(network, params, graph)
    bound = grown.bind(found)
    bound.new_llms, answers = None, bound.answers(graph)
    users, usual = (np.asarray(x) for x in (bound.read_users(graph, answers), answers.mean(0)))
    at = grown.features.llm_start
    told = users[:6, :at] @ (usual[4] - usual[:4].mean(0))[:at]
    assert told.std() > 0.3
    np.testing.assert_allclose(users[:6, at + 4], -told / 2, atol=0.02)


def test_how_far_users_weights_are_heeded_is_learnt_from_what_they_choose(trained):
    network, _, params = trained
    weight = np.asarray(params["users"])[:6, EFFECT]
    keen = np.tile((weight > np.median(weight))[:, None], 6)
    shrinkage = {}
    for name, picked in {"as told": keen, "by chance": np.arange(36).reshape(6, 6) % 2 == 0}.items():
        graph = _excellent(picked).world().build_graph()
        grown, found = extend_network(network, params, graph)
        usual = np.asarray(grown.bind(found).answers(graph).mean(0))[:, EFFECT]
        of_new = np.asarray(found["precision"])[grown.features.llm_start + 4]
        shrinkage[name] = 1 - of_new[EFFECT] / of_new[grown.features.llm_start + 4] / (usual[4] - usual[:4].mean())
    assert shrinkage["as told"] > 0.6
    assert shrinkage["by chance"] < 0.45


def test_the_rounds_end_at_the_mode_where_users_have_many_decisions(trained, monkeypatch):
    network, _, params = trained
    graph = _grown(queries=160, llms=1, offered_to=6, liked=0.9).world().build_graph()
    intercept = {}
    for rounds_allowed in (8, 200):
        monkeypatch.setattr(new_llms, "_MAX_ROUNDS", rounds_allowed)
        grown, found = extend_network(network, params, graph)
        intercept[rounds_allowed] = float(found["population_mean"][grown.features.llm_start + 4])
    assert intercept[8] == pytest.approx(intercept[200], abs=0.05)


def test_a_new_llm_gets_a_quarter_of_the_variance_that_its_utility_has_beyond_that_of_known_ones(trained):
    network, _, params = trained
    graph = _grown(llms=1).world().build_graph()
    grown, found = extend_network(network, params, graph)
    bound, features = grown.bind(found), grown.features
    answers = bound.answers(graph)
    with_it, bound.new_llms = np.asarray(bound.read_users(graph, answers)), None
    users = np.asarray(bound.read_users(graph, answers))
    added = (with_it - users)[:6]
    assert (np.delete(added, features.llm_start + 4, 1) == 0).all()
    factors, mean = np.asarray(found["latent_factors"])[:, :4], np.asarray(found["population_mean"])
    of_population = mean[features.factor_start :]
    loading = users[:, features.factor_start :] + users[:, [features.population_index]] * of_population
    of_factors = (loading**2 - of_population**2) @ np.square(factors[np.abs(factors).sum(-1) > 0]).mean(0)
    rng, columns = np.random.default_rng(0), features.llm_columns
    for user in range(2):
        covariance = np.asarray(_covariance(grown, found, graph, user), np.float64)
        drawn = rng.multivariate_normal(np.zeros(features.size), covariance, 200_000)[:, columns]
        expected = (drawn[:, 4].var() - drawn[:, :4].var(0).mean() + of_factors[user]) / 4
        assert added[user, features.llm_start + 4] == pytest.approx(expected, rel=0.02, abs=0.005)


def test_the_excess_variance_of_a_user_without_history_is_zero(trained):
    network, _, params = trained
    facts = _grown(llms=1)
    kept = facts.user > 0
    rows = {name: getattr(facts, name)[kept] for name in ("user", "query", "offered", "feedback")}
    graph = facts.world(**rows).build_graph()
    grown, found = extend_network(network, params, graph)
    bound = grown.bind(found)
    bound.new_llms, answers = None, bound.answers(graph)
    users = bound.read_users(graph, answers)
    excess = np.asarray(bound.excess_variance(graph, answers, users, bound.population()))
    np.testing.assert_allclose(excess[0], 0.0, atol=2e-3)
    assert (excess[1:6, 4] > 0.05).all()


def _covariance(network, params, graph, user):
    """The posterior covariance of a user's weights."""
    bound = network.bind(params)
    bound.new_llms, answers = None, bound.answers(graph)
    users = bound.read_users(graph, answers)
    return bound.e_step(graph, read_histories(graph), answers, users, 0)[1][user]


def test_decisions_on_new_llms_make_the_answer_for_a_user_without_history_no_worse():
    """Many users of different weights, half of the LLMs new to training, and every LLM as good as the others."""
    rng = np.random.default_rng(0)
    users, queries, llms = 40, 60, 6
    weights = 2.0 * rng.normal(size=(users, llms))
    user, query = np.repeat(np.arange(users), 40), rng.integers(0, queries, users * 40)
    old = np.arange(llms) < 3
    before = np.arange(len(user)) % 40 < 20
    offered = np.where(before[:, None], old, True)
    feedback = chosen(weights[user], offered, rng)
    flat = np.full((queries, llms), 0.5)
    flat_of_old = np.where(old, flat, NAN)
    seen = Facts(flat_of_old, flat_of_old, user[before], query[before], offered[before], feedback[before])
    world = seen.world()
    network, graph = network_of(world, **SMALL)
    params = rounds(network, graph, 6)
    share = {}
    for name, facts in {"none": seen, "all": Facts(flat, flat, user, query, offered, feedback)}.items():
        grown, found = extend_network(network, params, facts.world().build_graph())
        utility = np.asarray(found["population_mean"])[grown.features.llm_start :][:llms]
        share[name] = (np.exp(utility) / np.exp(utility).sum())[3:].sum()
    true = feedback[~before][:, 3:].sum(1).mean()
    assert abs(share["all"] - true) < abs(share["none"] - true)
