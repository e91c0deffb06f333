"""What a router learns after training, without training: a world with more users, LLMs or prices in it."""

import dataclasses

import numpy as np

from prouter_jax import interactions as tables
from prouter_jax.answer_style import text_style, with_answer_style
from prouter_jax.encoders import make_encoder
from prouter_jax.graph_build import NodeVectors
from prouter_jax.interactions import Interactions
from prouter_jax.world import World


def grow_world(world: World, merged: Interactions) -> World:
    """The world with all of `merged`, whose rows start with those of the world.

    Where the world knows the style of answers, that of new ones is read off their texts.

    LLMs that the world knows keep their old prices: what the model learnt of an LLM goes with the prices
    it had then, and `price_factors` says what has become of them.
    """
    before, now = world.interactions.llms, merged.llms
    prices = {
        name: np.append(getattr(before, name), getattr(now, name)[len(before.ids) :])
        for name in ("input_price", "output_price")
    }
    data = merged.replace(llms=dataclasses.replace(now, **prices))
    if world.interactions.outcomes.style is not None:
        data = with_answer_style(data)
    return _with_scale_rows(dataclasses.replace(world, interactions=data, vectors=_grown_vectors(world, merged)))


def price_factors(before: Interactions, now: Interactions) -> np.ndarray:
    """New over old price of each LLM, weighted by the tokens it was seen to use, [llms].

    Raises:
      ValueError: if a price changes that was not known or free.
    """
    tokens = [_mean_by_llm(now, x) for x in (now.outcomes.input_tokens, now.outcomes.output_tokens)]
    old, new = (
        sum(count * price for count, price in zip(tokens, prices, strict=True))
        for prices in ((t.llms.input_price, t.llms.output_price) for t in (before, now))
    )
    changed = ~((old == new) | (np.isnan(old) & np.isnan(new)))
    if (changed & ~(old > 0)).any():
        name = now.llms.ids[changed & ~(old > 0)][0]
        raise ValueError(f"table llms, llm {name}: expected a known price above 0 before it is changed, found none")
    return np.where(changed, new / np.where(changed, old, 1), 1.0)


def only_users(data: Interactions, rows: np.ndarray) -> Interactions:
    """The given users and their decisions."""
    place = np.full(len(data.users.ids), -1, np.int32)
    place[rows] = np.arange(len(rows))
    kept = tables.select_decisions(data, place[data.decisions.user] >= 0)
    decisions = dataclasses.replace(kept.decisions, user=place[kept.decisions.user])
    return kept.replace(users=tables.take(data.users, rows), decisions=decisions)


def _grown_vectors(world: World, merged: Interactions) -> NodeVectors:
    """The world's text vectors and those of what was added; a known LLM may be described anew."""
    vectors, describe = world.vectors, "wordllama" if world.encoder == "given" else world.encoder
    task, query = merged.tasks.descriptions[len(vectors.task) :], merged.queries.texts[len(vectors.query) :]
    return NodeVectors(
        task=np.concatenate([vectors.task, world.encode(list(task))]) if len(task) else vectors.task,
        query=np.concatenate([vectors.query, world.encode(list(query))]) if len(query) else vectors.query,
        llm=make_encoder(describe).encode(list(merged.llms.descriptions)),
        query_style=np.concatenate([vectors.query_style, text_style(query)]) if len(query) else vectors.query_style,
    )


def _mean_by_llm(data: Interactions, values: np.ndarray) -> np.ndarray:
    """Mean of what is known of each LLM; 1 where nothing is."""
    known = ~np.isnan(values)
    total, count = (
        np.bincount(data.outcomes.llm[known], weights, len(data.llms.ids)) for weights in (values[known], None)
    )
    return np.where(count > 0, total / np.maximum(count, 1), 1.0)


def _with_scale_rows(world: World) -> World:
    """A world whose cost scale has a row for each of its tasks; new ones take the overall scale."""
    extra = len(world.interactions.tasks.ids) + 1 - len(world.scale.low)
    if not extra:
        return world
    low, high = (np.append(x, np.repeat(x[-1], extra)) for x in (world.scale.low, world.scale.high))
    return dataclasses.replace(world, scale=dataclasses.replace(world.scale, low=low, high=high))
