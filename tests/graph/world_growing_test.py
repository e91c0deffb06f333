"""What is added to a world is known in the same way as what was there."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.interactions import concatenate, strings, take
from prouter_jax.data.style_features import answer_features
from prouter_jax.graph.world import grow_world


@pytest.fixture
def styled(dataset):
    """A world that knows the style of its answers, whose texts stayed behind."""
    data = dataset.world.interactions
    style = np.full((len(data.outcomes.query), answer_features([], []).shape[1]), 0.5, np.float32)
    outcomes = dataclasses.replace(data.outcomes, style=style, response=None)
    return dataclasses.replace(dataset.world, interactions=data.replace(outcomes=outcomes))


def _with_an_answer(data):
    """Drops the first outcome and gives it again, now with its text."""
    again = dataclasses.replace(take(data.outcomes, np.array([0])), style=None, response=strings(["Sure! 1 + 1 = 2."]))
    return data.replace(outcomes=concatenate([take(data.outcomes, np.arange(1, len(data.outcomes.query))), again]))


def test_the_style_of_new_answers_is_read_off_their_texts(styled):
    grown = grow_world(styled, _with_an_answer(styled.interactions)).interactions
    query = grown.queries.texts[grown.outcomes.query[-1]]
    assert grown.outcomes.style is not None
    assert (grown.outcomes.style[:-1] == 0.5).all()
    np.testing.assert_array_equal(grown.outcomes.style[-1:], answer_features([str(query)], ["Sure! 1 + 1 = 2."]))


def test_a_world_without_style_stays_without(dataset):
    data = dataset.world.interactions
    bare = dataclasses.replace(
        dataset.world, interactions=data.replace(outcomes=dataclasses.replace(data.outcomes, style=None))
    )
    assert grow_world(bare, _with_an_answer(bare.interactions)).interactions.outcomes.style is None
