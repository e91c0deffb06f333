"""Small worlds whose truth is known, for the tests of the default network."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.config import ExperimentConfig, Model
from prouter_jax.data.distinct import distinct_sets
from prouter_jax.data.interactions import (
    CHOICE,
    RATING,
    Decisions,
    Feedback,
    Interactions,
    Llms,
    Outcomes,
    Queries,
    Tasks,
    Users,
    strings,
)
from prouter_jax.data.rewards import fit_cost_scale
from prouter_jax.data.style_features import text_style
from prouter_jax.graph.build import NodeVectors
from prouter_jax.graph.history import HistoryFeedback
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.graph.world import World
from prouter_jax.model.network import make_network
from prouter_jax.model.rounds import Rounds
from prouter_jax.training import em

NAN = np.nan


def names(letter: str, number: int) -> np.ndarray:
    return strings([f"{letter}{i:03}" for i in range(number)])


def make_world(effect, cost, user, query, offered, feedback, kind=CHOICE, first=None, style=None) -> World:
    """A world without tasks where `said` [decisions, llms] is shares of the choice or ratings, NaN for nothing.

    Args:
      effect, cost: [queries, llms], NaN where unknown; style: the same with features.
      user, query: [decisions]; offered: bool [decisions, llms]; first: the LLM shown first, [decisions].
    """
    queries, llms = effect.shape
    of_query, of_llm = (rows.astype(np.int32) for rows in np.nonzero(~np.isnan(effect) | ~np.isnan(cost)))
    offers, offer = distinct_sets(offered)
    row, llm = np.nonzero(~np.isnan(feedback) & ((feedback > 0) | (kind == RATING)))
    nothing = np.full(len(of_query), NAN)
    data = Interactions(
        Users(names("u", int(user.max()) + 1), np.full(int(user.max()) + 1, NAN)),
        Tasks(strings([]), strings([])),
        Queries(names("q", queries), strings([f"Query number {i}" for i in range(queries)]), np.full(queries, -1)),
        Llms(names("m", llms), *[strings([""] * llms)] * 2, *[np.full(llms, NAN)] * 2, strings([""] * llms)),
        Outcomes(
            *(of_query, of_llm, effect[of_query, of_llm], cost[of_query, of_llm], nothing, nothing),
            style=None if style is None else style[of_query, of_llm].astype(np.float32),
        ),
        offers,
        Decisions(
            *(names("d", len(user)), user.astype(np.int32), query.astype(np.int32), offer, np.full(len(user), NAN)),
            np.full(len(user), -1, np.int32) if first is None else first.astype(np.int32),
        ),
        Feedback(
            *(row.astype(np.int32), np.full(len(row), kind, np.int8), llm.astype(np.int32)),
            feedback[row, llm].astype(np.float32),
        ),
    )
    texts = np.random.default_rng(0).normal(size=(queries, 16)).astype(np.float32)
    vectors = NodeVectors(
        np.zeros((0, 16), np.float32), texts, np.zeros((llms, 16), np.float32), text_style(data.queries.texts)
    )
    return World(data, vectors, fit_cost_scale(data), "hash")


def chosen(utility: np.ndarray, offered: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Choices by the softmax of utility [decisions, llms] over what is on offer, as shares."""
    noisy = np.where(offered, utility + rng.gumbel(size=utility.shape), -np.inf)
    return (noisy.argmax(1)[:, None] == np.arange(utility.shape[1])).astype(float)


def on_offer(decisions: int, llms: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """`size` LLMs by chance for each decision, bool [decisions, llms]."""
    return rng.random((decisions, llms)).argsort(1).argsort(1) < size


def network_of(world: World, **model) -> tuple[Rounds, RouterGraph]:
    """The rounds of the default network with some settings changed, and the world's graph."""
    graph, config = world.build_graph(), ExperimentConfig(model=Model(**{"preset": "em"} | model))
    return make_network(config, graph, len(world.interactions.users.ids)).rounds, graph


def without_decisions_of(world: World, user: int) -> World:
    """The same world, in which a user said nothing."""
    data = world.interactions
    kept = np.flatnonzero(data.decisions.user != user)
    place = np.full(len(data.decisions.user), -1)
    place[kept] = np.arange(len(kept))
    stays = place[data.feedback.decision] >= 0
    decisions = {f.name: getattr(data.decisions, f.name)[kept] for f in dataclasses.fields(data.decisions)}
    feedback = {f.name: getattr(data.feedback, f.name)[stays] for f in dataclasses.fields(data.feedback)}
    feedback["decision"] = place[feedback["decision"]].astype(np.int32)
    return dataclasses.replace(
        world, interactions=data.replace(decisions=Decisions(**decisions), feedback=Feedback(**feedback))
    )


def said_by(
    offered: np.ndarray, target: np.ndarray, rating: np.ndarray | None = None, thumb: np.ndarray | None = None
) -> HistoryFeedback:
    """What somebody said, as arrays of the reader; ratings and thumbs NaN where none was given."""
    numbers = [np.asarray(x, np.float32) for x in (offered, target)]
    given = {
        name: None if values is None else np.nan_to_num(values).astype(np.float32)
        for name, values in (("rating", rating), ("thumb", thumb))
    }
    flags = {
        name: None if values is None else (~np.isnan(values)).astype(np.float32)
        for name, values in (("rated", rating), ("thumbed", thumb))
    }
    return HistoryFeedback(*numbers, shown_first=None, **given, **flags)


@dataclasses.dataclass(frozen=True)
class Facts:
    """Arguments of `make_world`, to be changed one by one."""

    effect: np.ndarray
    cost: np.ndarray
    user: np.ndarray
    query: np.ndarray
    offered: np.ndarray
    feedback: np.ndarray
    kind: int = CHOICE
    first: np.ndarray | None = None

    def world(self, **changed) -> World:
        return make_world(**(vars(self) | changed))


def some_facts(users=6, queries=16, llms=4, each=8, seed=0) -> Facts:
    """Users who weigh effect against cost, each in its own way, and choose among three LLMs."""
    rng = np.random.default_rng(seed)
    effect, cost = rng.random((2, queries, llms))
    user = np.repeat(np.arange(users), each)
    query = np.concatenate([rng.choice(queries, each, replace=False) for _ in range(users)])
    weights = rng.normal(size=(users, 2)) * 2 + [4, -2]
    offered = on_offer(len(user), llms, 3, rng)
    utility = np.einsum("dk,dlk->dl", weights[user], np.stack([effect, cost], -1)[query])
    return Facts(effect, cost, user, query, offered, chosen(utility, offered, rng))


def rounds(network: Rounds, graph: RouterGraph, number: int, params: dict | None = None) -> dict:
    """Parameters after so many rounds of messages."""
    params = network.init(jax.random.key(0)) if params is None else params
    for at in range(number):
        params, _ = one_round(network, params, graph, jnp.int32(at))
    return params


@functools.partial(jax.jit, static_argnums=0)
def one_round(network: Rounds, params: dict, graph: RouterGraph, step: jax.Array) -> tuple[dict, dict]:
    expected, metrics = em.expect(network, params, graph, step)
    return params | em.maximise(network, params, graph, expected, step), metrics
