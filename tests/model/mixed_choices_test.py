import numpy as np
from scipy import special

from prouter_jax.model.mixed_choices import ChoiceMixer
from prouter_jax.model.query_batch import QueryBatch

KNOWN, FEATURES, LLMS, QUERIES, LANDMARKS = 3, 4, 5, 6, 2


def made(share, scale):
    random = np.random.default_rng(0)
    shares = special.softmax(random.normal(size=(KNOWN, LLMS)), axis=-1).astype(np.float32)
    coefficients = random.normal(size=(KNOWN, LANDMARKS, LLMS)).astype(np.float32) / 100
    known = random.normal(size=(KNOWN, FEATURES)).astype(np.float32)
    mixer = ChoiceMixer(known, 1.0, shares, coefficients)
    answers = random.normal(size=(QUERIES, LLMS, FEATURES)).astype(np.float32)
    kernel = random.random((QUERIES, LANDMARKS)).astype(np.float32)
    asked = QueryBatch(answers, answers[..., 0], kernel, np.arange(QUERIES) < 3)
    weights = special.softmax(random.normal(size=(2, KNOWN)), axis=-1)
    theta = random.normal(size=(2, FEATURES))
    states = np.concatenate([theta, weights, np.full((2, 1), share), np.full((2, 1), scale)], 1).astype(np.float32)
    user, place = np.array([1, 0, 0, 1, 1]), np.array([5, 0, 2, 2, 4])
    own = random.normal(size=(5, LLMS)).astype(np.float32)
    return mixer, own, states, asked, user, place


def test_without_similar_users_the_choice_is_the_users_own():
    mixer, own, *others = made(share=0.0, scale=1.0)
    np.testing.assert_allclose(special.softmax(mixer.logits(own, *others), 1), special.softmax(own, 1), rtol=1e-4)


def test_similar_users_count_by_their_weights():
    mixer, own, states, asked, user, place = made(share=1.0, scale=1.0)
    found = np.exp(mixer.logits(own, states, asked, user, place))
    for row, (u, q) in enumerate(zip(user, place, strict=True)):
        if q < 3:
            shares = special.softmax(mixer.known @ asked.answers[q].T, axis=-1)
        else:
            shares = mixer.mean + np.einsum("m,vml->vl", asked.kernel[q], mixer.coefficients)
        np.testing.assert_allclose(found[row], states[u, FEATURES:-2] @ shares, rtol=1e-4)


def test_the_scale_multiplies_logits():
    mixer, *arguments = made(share=0.3, scale=1.0)
    mixer, *scaled = made(share=0.3, scale=2.0)
    np.testing.assert_allclose(mixer.logits(*scaled), 2 * mixer.logits(*arguments), rtol=1e-5)
