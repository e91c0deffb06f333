"""`Router`: the trained policy that everybody uses, loaded from a workdir; new users, new LLMs, new prices."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence

import jax
import numpy as np
import pyarrow as pa

from prouter_jax import config as configuration
from prouter_jax import interactions as tables
from prouter_jax.decisions import build_decisions
from prouter_jax.encoders import make_encoder
from prouter_jax.graph import RouterGraph
from prouter_jax.graph_build import NodeVectors, build_graph, node_width
from prouter_jax.interactions import Interactions
from prouter_jax.model import SharedStates
from prouter_jax.offline.write import Scored
from prouter_jax.readers.additions import read_history, read_llm_additions
from prouter_jax.routing import Constraints, Pool, route
from prouter_jax.scoring import Scorer, make_scorer
from prouter_jax.train import restore_params
from prouter_jax.train_state import Network, make_network
from prouter_jax.world import World, load_world

CONFIG = "config.json"
WORLD = "world"


@dataclasses.dataclass(frozen=True)
class Scores:
    """What `Router.score` answers, one row for each pair.

    Attributes:
      llm: the choice, None where there is an error.
      probabilities: LLM -> probability that this user would choose it, over the candidates.
      basis: "history", or "cold_start" for a user without one.
      error: None, or what was wrong with the row.
    """

    llm: list[str | None]
    probabilities: list[dict[str, float]]
    basis: list[str | None]
    error: list[str | None]


@dataclasses.dataclass(frozen=True)
class Router:
    """Immutable: `with_history` and `with_llms` return another router.

    Attributes:
      world: what message passing ran over, with the prices of that time.
      known: the same with today's prices, and with the histories brought since.
      users: theta of the users of `known`, float32 [users, properties].
      price_factor: what predicted costs are multiplied with at today's prices, [llms].
    """

    network: Network
    params: dict
    world: World
    scorer: Scorer
    known: Interactions
    users: np.ndarray
    price_factor: np.ndarray

    @classmethod
    def load(cls, workdir: str | os.PathLike) -> "Router":
        """Loads the best checkpoint of a run and what it knows of users, queries and LLMs.

        Raises:
          ValueError: if anything is missing, damaged or does not fit together. Never random weights.
        """
        workdir = pathlib.Path(workdir)
        config = read_config(workdir)
        world = load_world(workdir / WORLD)
        network = make_network(config.model, node_width(world.vectors))
        return _make(network, restore_params(config, network, workdir), world)

    @property
    def llms(self) -> list[str]:
        """The pool."""
        return list(self.world.interactions.llms.ids)

    def score(
        self,
        users: Sequence[str],
        queries: Sequence[str | None] | None = None,
        *,
        query_ids: Sequence[str | None] | None = None,
        task_ids: Sequence[str | None] | None = None,
        candidates: Sequence[Sequence[str] | None] | None = None,
        max_cost: float | None = None,
        allow: Sequence[str] | None = None,
    ) -> Scores:
        """Picks an LLM for each (user, query).

        Args:
          users: user ids; one that is not known gets the answer for a user without history.
          queries, query_ids: texts, or ids of queries known from training; an id goes before a text.
          candidates: the LLMs on offer for each row; all by default.
          max_cost: the highest expected cost in USD.
          allow: the only LLMs to choose from.

        Raises:
          ValueError: on arguments of different lengths, an unknown LLM in `allow`, a `max_cost` that is not positive.
        """
        named = {"user_id": users, "query": queries, "query_id": query_ids, "task_id": task_ids}
        columns = {name: pa.array(values, pa.large_string()) for name, values in named.items() if values is not None}
        if candidates is not None:
            columns["candidates"] = pa.array(candidates, pa.large_list(pa.large_string()))
        for name, column in columns.items():
            if len(column) != len(users):
                raise ValueError(f"{name}: expected {len(users)} rows as in user_id, found {len(column)}")
        scored = self.score_columns(columns, self.constraints(max_cost, allow))
        chosen = [
            {llm: float(p) for llm, p in zip(scored.llms, row, strict=True) if not np.isnan(p)}
            for row in scored.probabilities
        ]
        return Scores(scored.llm.to_pylist(), chosen, scored.basis.to_pylist(), scored.error.to_pylist())

    def constraints(self, max_cost: float | None = None, allow: Sequence[str] | None = None) -> Constraints:
        """Checks what `score` and `score_columns` are given.

        Raises:
          ValueError: on an unknown LLM or a cost that is not positive.
        """
        unknown = sorted(set(allow or ()) - set(self.llms))
        if unknown:
            raise ValueError(f"allow: expected LLMs among {', '.join(self.llms)}, found {', '.join(unknown)}")
        if max_cost is not None and not max_cost > 0:
            raise ValueError(f"max_cost: expected a cost in USD above 0, found {max_cost}")
        return Constraints(max_cost, None if allow is None else np.isin(self.llms, list(allow)))

    def score_columns(self, columns: dict[str, pa.Array], constraints: Constraints = Constraints()) -> Scored:  # noqa: B008
        """`score` for Arrow columns user_id, query, query_id, task_id, candidates, for `offline.score`."""
        return route(self._pool, columns, constraints)

    def with_history(self, path: str | os.PathLike) -> "Router":
        """A router that also knows the choices or ratings in a file: new users, or more of known ones.

        Nothing is trained and no other user's scores change.

        Raises:
          ValueError: on bad rows, see `readers.additions.read_history`.
        """
        merged = read_history(path, self.known)
        named = np.unique(merged.decisions.user[len(self.known.decisions.user) :])
        theta = self._read_users(_only_users(merged, named))
        users = np.zeros((len(merged.users.ids), self.users.shape[1]), self.users.dtype)
        users[: len(self.users)] = self.users
        users[named] = theta
        return dataclasses.replace(self, known=merged, users=users)

    def with_llms(self, folder: str | os.PathLike) -> "Router":
        """A router whose pool also has the LLMs in a folder of tables, with the outcomes and feedback there.

        An LLM that is known already takes the prices given there: its expected costs change with them,
        what users said when it cost something else does not. Nothing is trained.

        Raises:
          ValueError: on bad tables, see `readers.additions.read_llm_additions`.
        """
        merged = read_llm_additions(folder, self.known)
        # what the model learnt of an LLM goes with the prices it had then
        before, now = self.world.interactions.llms, merged.llms
        prices = {
            name: np.append(getattr(before, name), getattr(now, name)[len(before.ids) :])
            for name in ("input_price", "output_price")
        }
        seen = merged.replace(llms=dataclasses.replace(now, **prices))
        factor = _price_factors(seen, merged)
        grown = dataclasses.replace(self.world, interactions=seen, vectors=self._grown_vectors(merged))
        router = _make(self.network, self.params, _with_scale_rows(grown))
        return dataclasses.replace(router, known=merged, price_factor=factor)

    def forget_texts(self) -> None:
        """Drops the answers remembered of texts that were scored before."""
        self._pool.remembered.clear()

    @functools.cached_property
    def _pool(self) -> Pool:
        data, users = self.world.interactions, self.known.users.ids
        has_history = np.bincount(self.known.decisions.user, minlength=len(users)) > 0
        population = np.asarray(self.params["model"]["reader"]["mean"])
        return Pool(
            scorer=self.scorer,
            llms=self.llms,
            users=np.concatenate([self.users, population[None]]),
            has_history=np.append(has_history, False),
            user_rows={name: row for row, name in enumerate(users)},
            query_rows={name: row for row, name in enumerate(data.queries.ids)},
            query_task=data.queries.task,
            known_answers=self.scorer.known_answers(),
            task_rows={name: row for row, name in enumerate(data.tasks.ids)},
            scale=self.world.scale,
            price_factor=self.price_factor,
            encode=self._encode,
        )

    def _encode(self, texts: Sequence[str]) -> np.ndarray:
        if self.world.encoder == "given":
            raise ValueError("this router was trained on vectors that came with the data: score by query_id")
        return make_encoder(self.world.encoder).encode(texts)

    def _read_users(self, some: Interactions) -> np.ndarray:
        """theta of the users of `some`, whose queries start with those of the world."""
        known = len(self.world.interactions.queries.ids)
        answers = np.asarray(self.scorer.states.answers)[:known]
        new = some.queries.texts[known:]
        if len(new):
            new = self.scorer.answers(self._encode(list(new)), some.queries.task[known:], with_tastes=False)
            answers = np.concatenate([answers, new])
        blank = NodeVectors(*(np.zeros((len(t.ids), 1), np.float32) for t in (some.tasks, some.queries, some.llms)))
        histories = build_decisions(some, np.arange(len(some.decisions.user)))
        graph = build_graph(some, blank, self.world.scale, histories)
        theta = _read_users(self.network, self.params, graph, self.scorer.states.shared, answers)
        return np.asarray(theta)[: len(some.users.ids)]

    def _grown_vectors(self, merged: Interactions) -> NodeVectors:
        """The world's text vectors and those of what was added; a known LLM may be described anew."""
        vectors, describe = self.world.vectors, "wordllama" if self.world.encoder == "given" else self.world.encoder
        task, query = merged.tasks.descriptions[len(vectors.task) :], merged.queries.texts[len(vectors.query) :]
        return NodeVectors(
            task=np.concatenate([vectors.task, self._encode(list(task))]) if len(task) else vectors.task,
            query=np.concatenate([vectors.query, self._encode(list(query))]) if len(query) else vectors.query,
            llm=make_encoder(describe).encode(list(merged.llms.descriptions)),
        )


def read_config(workdir: pathlib.Path) -> configuration.ExperimentConfig:
    """The configuration that a run was made with.

    Raises:
      ValueError: if `workdir` holds no run, or several seeds of one.
    """
    try:
        text = (workdir / CONFIG).read_text()
    except (FileNotFoundError, NotADirectoryError) as error:
        seeds = sorted(path.name for path in workdir.glob("seed_*"))
        hint = f"; it holds {', '.join(seeds)}: name one of these" if seeds else ""
        raise ValueError(f"{workdir}: expected a trained router with {CONFIG}, found none{hint}") from error
    try:
        return configuration.from_json(text)
    except ValueError as error:
        raise ValueError(f"{workdir / CONFIG}: expected what was written at the start, found: {error}") from error


def _make(network: Network, params: dict, world: World) -> Router:
    data = world.interactions
    scorer = make_scorer(network, params, world.build_graph())
    users = scorer.users()[: len(data.users.ids)]
    return Router(network, params, world, scorer, data, users, np.ones(len(data.llms.ids)))


def _only_users(data: Interactions, rows: np.ndarray) -> Interactions:
    """The given users and their decisions; outcomes stay behind, they are in the answers already."""
    place = np.full(len(data.users.ids), -1, np.int32)
    place[rows] = np.arange(len(rows))
    kept = tables.select_decisions(data, place[data.decisions.user] >= 0)
    decisions = dataclasses.replace(kept.decisions, user=place[kept.decisions.user])
    none = tables.take(data.outcomes, np.zeros(0, np.int64))
    return kept.replace(users=tables.take(data.users, rows), decisions=decisions, outcomes=none)


def _price_factors(before: Interactions, now: Interactions) -> np.ndarray:
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


@functools.partial(jax.jit, static_argnums=0)
def _read_users(
    network: Network, params: dict, graph: RouterGraph, shared: SharedStates, answers: jax.Array
) -> jax.Array:
    return network.bind(params).model.read_users(graph, shared, answers)
