import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_differences import check_gradients
from scipy import special

from prouter_jax.graph.history import HistoryFeedback, read_histories
from prouter_jax.model.similar_users import known_utilities, log_agreement, read_agreement, similar_weights

ERROR = 0.2


def one_user(random, decisions=6, candidates=4):
    offered = np.ones((decisions, candidates), np.float32)
    offered[0, -1] = 0
    target = np.eye(candidates, dtype=np.float32)[random.integers(0, candidates - 1, decisions)]
    return HistoryFeedback(jnp.asarray(offered), jnp.asarray(target), None, None, None)


def agreement_in_numpy(logits, feedback):
    shares = special.softmax(np.where(np.asarray(feedback.offered)[..., None] > 0, logits, -np.inf), axis=1)
    chosen = (np.asarray(feedback.target)[..., None] * shares).sum(1)
    return np.log((1 - ERROR) * chosen + ERROR * chosen.mean(-1, keepdims=True) + 1e-6).sum(0)


def test_agreement_is_the_log_likelihood_of_the_choices():
    random = np.random.default_rng(0)
    feedback, logits = one_user(random), random.normal(size=(6, 4, 5)).astype(np.float32)
    found = log_agreement(jnp.asarray(logits), feedback, jnp.float32(ERROR))
    np.testing.assert_allclose(found, agreement_in_numpy(logits, feedback), rtol=1e-5)


def test_users_who_share_queries_agree_as_each_alone():
    random = np.random.default_rng(1)
    users = [one_user(random) for _ in range(3)]
    logits = jnp.asarray(random.normal(size=(6, 4, 5)), jnp.float32)
    together = log_agreement(logits, jax.tree.map(lambda *x: jnp.stack(x, -1), *users), jnp.float32(ERROR))
    alone = [log_agreement(logits, feedback, jnp.float32(ERROR)) for feedback in users]
    np.testing.assert_allclose(together, np.stack(alone, -1), rtol=1e-5)


def test_masked_and_absent_decisions_say_nothing(dataset):
    graph = jax.tree.map(jnp.asarray, dataset.world.build_graph())
    queries, llms = graph.layout.num("query"), graph.layout.num("llm")
    logits = jnp.asarray(np.random.default_rng(2).normal(size=(queries, llms, 3)), jnp.float32)
    agreement, length = read_agreement(graph, logits, jnp.float32(ERROR))
    target = read_histories(graph).feedback.target
    assert float(length.sum()) == pytest.approx(float(target.sum()), rel=1e-5)
    assert (np.asarray(agreement)[np.asarray(length) == 0] == 0).all()


def test_weights_favour_the_known_user_who_agrees_and_leave_out_the_user():
    agreement = jnp.asarray([[-1.0, -9.0, -5.0], [0.0, 0.0, 0.0]])
    weights = np.asarray(similar_weights(agreement, jnp.ones(2), jnp.asarray([[1.0, 1, 1], [1, 0, 1]])))
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-6)
    assert weights[0].argmax() == 0
    np.testing.assert_allclose(weights[1], [0.5, 0, 0.5])
    blunt = similar_weights(agreement, jnp.zeros(2), jnp.ones((2, 3)))
    np.testing.assert_allclose(blunt, np.full((2, 3), 1 / 3), rtol=1e-6)


@pytest.mark.parametrize("users", [None, 3], ids=["one user", "users who share queries"])
def test_gradients_are_those_of_finite_differences(users):
    random = np.random.default_rng(4)
    feedback = one_user(random)
    if users:
        feedback = jax.tree.map(lambda *x: jnp.stack(x, -1), *[one_user(random) for _ in range(users)])
    other = np.ones((users or 1, 5)) - np.eye(users or 1, 5)

    def weights(known, answers, error, sharpness):
        agreement = log_agreement(known_utilities(known, answers, jnp.ones(())), feedback, error)
        return similar_weights(jnp.atleast_2d(agreement.T), sharpness, other)

    known, answers = random.normal(size=(5, 3)), random.normal(size=(6, 4, 3))
    check_gradients(weights, known, answers, 0.2, np.full(users or 1, 0.7))


def test_utilities_are_products():
    random = np.random.default_rng(3)
    known, answers = random.normal(size=(5, 7)), random.normal(size=(2, 4, 7))
    found = known_utilities(jnp.asarray(known), jnp.asarray(answers), jnp.float32(2))
    np.testing.assert_allclose(found, 2 * np.einsum("qlp,vp->qlv", answers, known), rtol=1e-4, atol=1e-5)
