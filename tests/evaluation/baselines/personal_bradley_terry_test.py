"""Personal Bradley-Terry: the fit against a general optimiser, planted sides and lengths, unobserved answers."""

import dataclasses

import numpy as np
from policy_cases import labelled, small_world
from scipy import optimize

from prouter_jax.data.rewards import outcome_matrix
from prouter_jax.data.style_features import FEATURES
from prouter_jax.evaluation.baselines import personal_bradley_terry
from prouter_jax.evaluation.baselines.personal_bradley_terry import PersonalBradleyTerry, answer_lengths

DATASET = small_world()
WORDS = FEATURES.index("words")


def _with_lengths(dataset, words):
    """The dataset with the given words [outcomes of its training world] as style; the other features are 0."""
    world = dataset.world.interactions
    style = np.zeros((len(words), len(FEATURES)), np.float32)
    style[:, WORDS] = words
    world = world.replace(outcomes=dataclasses.replace(world.outcomes, style=style))
    return dataclasses.replace(dataset, world=dataclasses.replace(dataset.world, interactions=world))


LONG = _with_lengths(DATASET, np.random.default_rng(0).normal(size=len(DATASET.world.interactions.outcomes.llm)))


def _votes(number, user, rng, winner):
    """Votes between two LLMs on observed queries; winner(pair, query) gives the position of the winner, 0 is first."""
    queries = rng.choice(np.flatnonzero(LONG.world_query >= 0), number)
    rewards, first = np.full((number, 5), np.nan), np.zeros(number, int)
    for row, query in enumerate(queries):
        pair = rng.choice(5, 2, replace=False)
        won = winner(pair, query)
        rewards[row, pair[won]], rewards[row, pair[1 - won]], first[row] = 1, 0, pair[0]
    return labelled(np.broadcast_to(user, number), queries, rewards, first)


def _crowd(rng):
    return _votes(300, rng.integers(5, size=300), rng, lambda pair, query: rng.integers(2))


def _join(*parts):
    columns = (np.concatenate([getattr(one.decisions, name) for one in parts]) for name in ("user", "query"))
    rewards = np.concatenate([one.rewards for one in parts])
    return labelled(*columns, rewards, np.concatenate([one.decisions.first for one in parts]))


def test_weights_are_the_most_likely_ones():
    votes = _votes(40, 0, np.random.default_rng(1), lambda pair, query: int(pair[0] < pair[1]))
    policy = PersonalBradleyTerry(LONG)
    examples, prior, penalty = policy._examples(votes), np.linspace(-1, 1, 7), np.linspace(0.5, 2, 7)

    def loss(weights):
        logits = np.where(examples.offered, weights[:5] + examples.extra @ weights[5:], -np.inf)
        logs = np.where(examples.offered, logits, 0) - np.log(np.exp(logits).sum(1, keepdims=True))
        return -(examples.shares * logs).sum() + (penalty * np.square(weights - prior)).sum() / 2

    found = personal_bradley_terry._most_likely(examples, prior, penalty)
    np.testing.assert_allclose(found, optimize.minimize(loss, np.zeros(7)).x, atol=1e-3)


def test_a_user_who_prefers_the_first_answer_is_recognised():
    rng = np.random.default_rng(2)
    train = _crowd(rng)
    policy = PersonalBradleyTerry(LONG)
    policy.fit(train, train)
    history = _join(train, _votes(30, 6, rng, lambda pair, query: 0))
    rewards = [[0, 0, np.nan, np.nan, np.nan]] * 4
    scores = policy.score(history, labelled([6, 6, 7, 7], [0] * 4, rewards, [0, 1, 0, 1]).decisions)
    own, stranger = (scores[0] - scores[1])[:2], (scores[2] - scores[3])[:2]
    assert (own * [1, -1] > 1).all()
    assert (np.abs(stranger) < 0.5).all()


def test_a_user_who_prefers_long_answers_is_recognised():
    rng = np.random.default_rng(3)
    train = _crowd(rng)
    policy = PersonalBradleyTerry(LONG, length_penalty=3.0)
    policy.fit(train, train)
    length = answer_lengths(LONG)
    longer = lambda pair, query: int(length[query, pair].argmax())  # noqa: E731
    history, asked = _join(train, _votes(60, 6, rng, longer)), _votes(60, 6, rng, longer)
    found = np.where(asked.decisions.offered, policy.score(history, asked.decisions), -np.inf).argmax(1)
    assert (found == np.nan_to_num(asked.rewards).argmax(1)).mean() > 0.9


def test_a_user_without_history_has_the_populations_weights():
    rng = np.random.default_rng(4)
    train = _votes(200, rng.integers(5, size=200), rng, lambda pair, query: int(pair[0] > pair[1]))
    policy = PersonalBradleyTerry(LONG)
    policy.fit(train, train)
    query = int(np.flatnonzero(LONG.world_query >= 0)[0])
    scores = policy.score(train, labelled([7], [query], [[0] * 5]).decisions)[0]
    expected = policy._population[:5] + policy._population[6] * answer_lengths(LONG)[query]
    np.testing.assert_allclose(scores, expected)
    assert np.argsort(policy._population[:5]).tolist() == [4, 3, 2, 1, 0]


def test_lengths_are_relative_to_the_query_and_unobserved_ones_are_the_llms_mean():
    world, seen = LONG.world.interactions, LONG.world_query >= 0
    words = outcome_matrix(world, world.outcomes.style[:, WORDS])[LONG.world_query]
    known = ~np.isnan(words) & seen[:, None]
    relative = words - np.nanmean(words, axis=1, keepdims=True)
    found = answer_lengths(LONG)
    np.testing.assert_allclose(found[known], relative[known], atol=1e-6)
    means = np.array([relative[known[:, llm], llm].mean() for llm in range(5)])
    np.testing.assert_allclose(found[~known], np.broadcast_to(means, known.shape)[~known], atol=1e-6)
    assert (~known).any(0).all()


def test_data_without_texts_has_no_lengths():
    world = DATASET.world.interactions
    world = world.replace(outcomes=dataclasses.replace(world.outcomes, style=None))
    blank = dataclasses.replace(DATASET, world=dataclasses.replace(DATASET.world, interactions=world))
    assert not answer_lengths(blank).any()
