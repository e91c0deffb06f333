"""Batches arrive on the devices as they were made, from any step on."""

import jax
import numpy as np
import pytest

from prouter_jax.config import Mesh
from prouter_jax.data.batches import Batches, Input
from prouter_jax.data.history_store import build_store
from prouter_jax.sharding import make_mesh, users_sharding


@pytest.fixture
def batches(dataset):
    data = dataset.world.interactions
    return Batches(build_store(data), np.arange(len(data.queries.ids)), 4, 8, 0)


@pytest.mark.parametrize("mesh", [Mesh(), Mesh(data=4, model=2)], ids=["one", "4x2"])
def test_batches_are_what_was_made_from_any_step_on(batches, mesh):
    mesh = make_mesh(mesh)
    made = Input(batches, mesh, 3, 6)
    for step in (3, 4, 5):
        placed, expected = next(made), batches.rows(step, 0, 4)
        assert placed.keys() == expected.keys()
        for name, value in expected.items():
            assert placed[name].sharding.is_equivalent_to(users_sharding(mesh), value.ndim)
            np.testing.assert_array_equal(jax.device_get(placed[name]), value)
    with pytest.raises(StopIteration):
        next(made)


def test_waiting_is_a_share_of_the_time_since_it_was_asked_last(batches):
    made = Input(batches, make_mesh(Mesh()), 0, 2)
    next(made)
    assert 0 < made.waiting()["input_wait"] <= 1
    assert made.waiting()["input_wait"] == 0


def test_a_run_over_the_whole_graph_waits_for_nothing():
    made = Input(None, make_mesh(Mesh()), 0, 1)
    assert (next(made), made.waiting()) == ({}, {})
