"""States of LLMs: alike for LLMs that are alike, the same in any pool, and of a fixed size in a large one."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from em_cases import NAN, network_of, rounds, some_facts

from prouter_jax.data.interactions import strings
from prouter_jax.model.llm_states import STATE_SIZE, llm_inputs, llm_states, own_columns
from prouter_jax.model.new_llms import extend_network

MANY = STATE_SIZE + 8
SMALL = {"factor_dim": 2, "warmup_rounds": 1}


def _world(llms=MANY, unknown=0, shared=False):
    """LLMs of ten prices, and each pair of neighbours of one family; nothing was observed of the unknown ones."""
    facts = some_facts(queries=20, llms=llms)
    facts = _shared(facts) if shared else facts
    effect, cost = (np.pad(x, ((0, 0), (0, unknown)), constant_values=NAN) for x in (facts.effect, facts.cost))
    offered, feedback = (np.pad(x, ((0, 0), (0, unknown))) for x in (facts.offered, facts.feedback))
    world = facts.world(effect=effect, cost=cost, offered=offered, feedback=feedback)
    every = np.arange(llms + unknown)
    price, families = 10.0 ** (every // 4 - 4), strings([f"family {number // 2}" for number in every])
    tables = dataclasses.replace(world.interactions.llms, input_price=price, output_price=2 * price, families=families)
    return dataclasses.replace(world, interactions=world.interactions.replace(llms=tables))


def _shared(facts):
    """The same choices, where every user has the queries of the first and all LLMs are on offer."""
    query = np.tile(facts.query[facts.user == 0], len(np.unique(facts.user)))
    return dataclasses.replace(facts, query=query, offered=np.ones_like(facts.offered))


def _states(world, size=STATE_SIZE):
    inputs = llm_inputs(world.build_graph())
    return np.asarray(llm_states(inputs, size, 0, jnp.ones(len(inputs))), np.float64)


def test_a_small_pool_has_one_hot_columns():
    np.testing.assert_array_equal(_states(_world(8), 8), np.eye(8))


def test_products_of_states_approximate_the_mean_of_four_kernels():
    world = _world()
    found, llms = _states(world, 1 << 14), np.arange(MANY)
    vectors = world.vectors.llm
    logs = np.log1p(np.stack([world.interactions.llms.input_price, world.interactions.llms.output_price], 1))
    parts = [
        *(np.exp(-scale * np.square(x[:, None] - x).sum(-1)) for scale, x in ((0.3, logs), (1.0, vectors))),
        *((one[:, None] == one).astype(float) for one in (llms // 2, llms)),
    ]
    np.testing.assert_allclose(found @ found.T, np.mean(parts, 0), atol=0.05)


def test_a_state_does_not_depend_on_the_rest_of_the_pool():
    np.testing.assert_allclose(_states(_world(unknown=2))[:MANY], _states(_world()), atol=1e-6)


def test_llms_that_training_did_not_offer_have_a_column_of_their_own():
    inputs = llm_inputs(_world().build_graph())
    offers = jnp.ones(MANY).at[jnp.array([3, MANY - 1])].set(0)
    states = np.asarray(llm_states(inputs, STATE_SIZE, 2, offers))
    expected = np.zeros((MANY, 2))
    expected[3, 0] = expected[-1, 1] = 1
    np.testing.assert_array_equal(states[:, STATE_SIZE:], expected)
    own = own_columns(STATE_SIZE, 2, np.asarray(offers) == 0)
    assert (own[3], own[-1]) == (STATE_SIZE, STATE_SIZE + 1)
    assert (np.delete(own, [3, MANY - 1]) == -1).all()


@pytest.fixture(scope="module")
def trained():
    network, graph = network_of(_world(), **SMALL)
    return network, graph, rounds(network, graph, 4)


def _utilities(network, params, graph):
    bound = network.bind(params)
    answers = bound.answers(graph)
    return np.einsum("up,qlp->uql", bound.read_users(graph, answers), answers)


def test_weights_of_users_do_not_grow_with_the_pool(trained):
    network, graph, params = trained
    assert network.features.llm_state == STATE_SIZE
    assert params["users"].shape[1] == network.features.size
    assert np.abs(np.asarray(params["users"])[:, network.features.llm_columns]).max() > 1e-3
    assert np.isfinite(_utilities(network, params, graph)).all()


def test_users_who_share_queries_are_read_as_those_who_do_not(trained):
    network, _, params = trained
    graph, bound = _world(shared=True).build_graph(), network.bind(params)
    columns, answers = bound.state_columns(graph), bound.answers(graph)
    assert columns is not None
    assert columns.states is not None
    short = bound.read_users(graph, answers)
    bound.state_columns = lambda graph: None
    np.testing.assert_allclose(short, bound.read_users(graph, answers), atol=2e-4)


def test_a_new_llm_in_a_large_pool_changes_nothing_for_the_others(trained):
    network, graph, params = trained
    bigger = _world(unknown=1).build_graph()
    grown, found = extend_network(network, params, bigger)
    new = np.asarray(params["llm_offers"]) == 0
    assert grown.features.own_columns == new.sum() + 1
    before, after = _utilities(network, params, graph), _utilities(grown, found, bigger)
    assert np.isfinite(after).all()
    np.testing.assert_allclose(after[..., :MANY][..., ~new], before[..., ~new], atol=5e-3)
