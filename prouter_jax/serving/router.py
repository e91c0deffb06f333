"""`Router`: a trained routing policy, loaded from a workdir; it scores queries and takes new users, LLMs and prices."""

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from prouter_jax import config as configuration
from prouter_jax.config import Model
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.tables.additions import read_history, read_llm_additions
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.graph.world import World, grow_world, load_world, only_users, price_factors
from prouter_jax.io.paths import list_folder, make_path, read_text
from prouter_jax.io.replacement import current
from prouter_jax.model.inference import Scorer, apply_network
from prouter_jax.model.network import Architecture, make_network
from prouter_jax.serving.batch.write import Scored
from prouter_jax.serving.explain import Explanation, Question, ask, explain
from prouter_jax.serving.live import LiveRouter, Ranking
from prouter_jax.serving.live_feedback import LiveFeedback, query_text
from prouter_jax.serving.root_digest import CONFIG, WORLD, check_root
from prouter_jax.serving.routing import Constraints, Pool, route
from prouter_jax.sharding import to_host
from prouter_jax.training.run import REFIT, restore_best
from prouter_jax.training.user_states import load_user_states


@dataclasses.dataclass(frozen=True)
class Scores:
    """The result of `Router.score`, one entry for each (user, query) pair.

    Attributes:
      llm: the picked LLM, None if the pair has an error.
      probabilities: probability that the user chooses each candidate, by LLM; empty if the pair has an error.
      basis: "history", or "cold_start" for a user without history; None if the pair has an error.
      error: error message, or None.

    Example:
      >>> from prouter_jax import Router, Scores
      >>> scores: Scores = Router.load("runs/embedded").score(["u00"], ["What is 2 + 2?"])
      >>> scores.llm[0] == max(scores.probabilities[0], key=scores.probabilities[0].get)
      True
    """

    llm: list[str | None]
    probabilities: list[dict[str, float]]
    basis: list[str | None]
    error: list[str | None]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
      model: its configuration.
      network: its architecture.
      params: its parameters.
      temperature: factor on the logits that calibrates them.
      queries: number of queries in training; others that come without answers are read and scored by their text.
    """

    model: Model
    network: Architecture
    params: dict
    temperature: float
    queries: int | None = None

    def apply(
        self,
        world: World,
        price_factor: np.ndarray | None = None,
        users: np.ndarray | None = None,
        graph: RouterGraph | None = None,
        known_ids: np.ndarray | None = None,
    ) -> Scorer:
        """The network in a world that may have grown since; see `model.inference.apply_network`."""
        graph = world.build_graph() if graph is None else graph
        of_training = {"known_ids": known_ids, "trained_queries": self.queries}
        return apply_network(self.network, self.params, world, graph, self.model, price_factor, users, **of_training)


@dataclasses.dataclass(frozen=True)
class Router:
    """A trained router; immutable: `with_history` and `with_llms` return another router.

    Attributes:
      trained: the trained network.
      world: the data of the graph that the network is applied to, with the prices at training.
      scorer: the network applied to `world`.
      interactions: those of `world` with current prices, and with histories added after training.
      users: states of the users of `interactions`, float32 [users, properties].

    Example:
      >>> from prouter_jax import Router
      >>> router = Router.load("runs/embedded")
      >>> scores = router.score(["u00", "a new user"], ["What is 2 + 2?"] * 2)
      >>> scores.basis
      ['history', 'cold_start']
    """

    trained: Trained
    world: World
    scorer: Scorer
    interactions: Interactions
    users: np.ndarray

    def __post_init__(self):
        states = {"users": self.users, "answers": self.scorer.answers, "costs": self.scorer.cost}
        wrong = [name for name, values in states.items() if not np.isfinite(values).all()]
        if wrong:
            raise ValueError(
                f"router: expected finite states of {', '.join(wrong)}, found others; costs, prices, ratings or "
                "vectors may be too far from those of training"
            )

    @classmethod
    def load(cls, workdir: str | os.PathLike) -> "Router":
        """Loads the router of a run that is served: its parameters, users, queries and LLMs, and its updates.

        Raises:
          ValueError: if a file is missing, damaged or from another run; the weights are never random.
        """
        workdir = current(make_path(workdir))
        folder = served_folder(workdir)
        updates = check_root(workdir)
        router = cls.load_trained(folder)
        for addition in updates:
            if addition.llms is not None:
                router = router.with_llms(addition.llms)
            if addition.feedback is not None:
                interactions = read_history(addition.feedback, router.interactions, report=False)
                router = dataclasses.replace(router, interactions=interactions)
        return router._with_interactions(router.interactions)

    @classmethod
    def load_trained(cls, folder: pathlib.Path) -> "Router":
        """Loads the best checkpoint in a folder, without updates: WORKDIR has the router of the report.

        Raises:
          ValueError: as `load`.
        """
        config = read_config(folder)
        world = load_world(folder / WORLD)
        # other networks infer more from histories than the states of users
        by_states = config.model.preset != "paper" and config.model.unseen_queries == "share"
        graph = world.build_graph_of_one_user() if by_states else world.build_graph()
        network = make_network(config, graph, len(world.interactions.users.ids))
        state = restore_best(config, network, folder)
        params = to_host(state.params)
        queries = len(world.interactions.queries.ids)
        trained = Trained(config.model, network, params, float(state.temperature), queries)
        users = load_user_states(folder, params)
        if by_states and users is None:
            graph = world.build_graph()
        scorer = trained.apply(world, users=users, graph=graph)
        return cls(trained, world, scorer, world.interactions, scorer.users)

    @property
    def llms(self) -> list[str]:
        """Names of the LLMs that the router can pick."""
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
          users: user ids; an unknown id is scored as a user without history.
          queries: texts of the queries.
          query_ids: ids of training queries; for a pair with both, the id is used.
          task_ids: ids of the tasks of new queries, None for none.
          candidates: the LLMs on offer for each pair; all by default.
          max_cost: highest expected cost of an answer in USD.
          allow: the allowed LLMs; all by default.

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
        """Checks the constraints of `score` and makes them for `score_columns`.

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
        """`score` for Arrow columns user_id, query, query_id, task_id, candidates, for `serving.batch.score`."""
        return route(self.pool, columns, constraints)

    def explain(self, user_id: str, text: str, task: str = "", most: int = 5) -> Explanation:
        """Explains the pick for a user and a text by past decisions and properties of answers.

        Args:
          user_id: a user with history.
          text: text of the query.
          task: id of its task, "" for none.
          most: largest number of decisions, and of properties, in the explanation.

        Raises:
          ValueError: on an unknown user or task, an empty text, or a router trained on vectors without texts.
        """
        return self.explain_question(ask(self.pool, user_id, text, task), most)

    def explain_question(self, question: Question, most: int = 5) -> Explanation:
        """Explains the pick for a question, which can be a training query or have only some LLMs as candidates."""
        return explain(self.pool, self.interactions, self._encode_users, question, most)

    def with_history(self, path: str | os.PathLike, strict: bool = False) -> "Router":
        """Returns a router with the choices, votes, ratings or thumbs in a file added to the users' histories.

        Users of the file may be new. Nothing is trained, and the scores of other users do not change. A line on stderr
        counts the rows that cannot be used, with `strict` the first one is an error.

        Raises:
          ValueError: on a bad file, see `data.tables.additions.read_history`.
        """
        return self._with_interactions(read_history(path, self.interactions, strict))

    def with_llms(self, folder: str | os.PathLike) -> "Router":
        """Returns a router with the LLMs, outcomes and feedback in a folder of tables added.

        An LLM of the pool gets the prices given there: its expected costs change, the effect of past feedback does
        not. Nothing is trained.

        Raises:
          ValueError: on bad tables, see `data.tables.additions.read_llm_additions`.
        """
        merged = read_llm_additions(folder, self.interactions)
        world = grow_world(self.world, merged)
        factor = price_factors(world.interactions, merged)
        return dataclasses.replace(_make(self.trained, world, factor), interactions=merged)

    def route(self, user: str, query: str | Sequence[Mapping[str, Any]] | None = None, **options: Any) -> Ranking:
        """Ranks the LLMs for one request, heeding what `observe` was told; arguments as of `live.LiveRouter.route`."""
        return self.live.route(user, query, **options)

    def observe(
        self,
        user: str,
        query: str | Sequence[Mapping[str, Any]] | None = None,
        *,
        llm: str,
        thumb: bool | None = None,
        rating: float | None = None,
        candidates: Sequence[str] | None = None,
        first: str | None = None,
        query_id: str | None = None,
        task_id: str | None = None,
    ) -> None:
        """Takes feedback of a user, which the next `route` heeds; the router itself does not change.

        Without a thumb and a rating, it is the user's choice of `llm` among the candidates; a vote has two of these.

        Args:
          query: text of the query, or chat messages.
          llm: the LLM that was chosen, rated or given a thumb; "" for a tie among the candidates.
          candidates: the LLMs on offer; None for all, of a rating for the rated LLM alone.
          first: the LLM whose answer was shown first.
          query_id, task_id: of the query, as in `score`.

        Raises:
          ValueError: one line that names the argument, if it cannot be taken.
        """
        given = {"thumb": None if thumb is None else float(thumb), "rating": rating}
        kinds = [name for name, value in given.items() if value is not None]
        if len(kinds) > 1:
            raise ValueError("observe: expected a thumb or a rating, found both")
        kind = kinds[0] if kinds else "vote" if candidates is not None and len(candidates) == 2 else "choice"
        text = None if query is None else query_text(query)
        offered = None if candidates is None else tuple(candidates)
        value = given.get(kind)
        self.live.observe(LiveFeedback(user, text, query_id, None, task_id, kind, llm, value, offered, first))

    def digest(self) -> str:
        """SHA-256 of everything that determines scores: parameters, users, queries, LLMs and prices."""
        total = hashlib.sha256(repr((self.trained.model, self.trained.temperature, self.world.encoder)).encode())
        arrays = (self.trained.params, dataclasses.astuple(self.world.vectors), dataclasses.astuple(self.world.scale))
        for path, leaf in jax.tree_util.tree_leaves_with_path(arrays):
            total.update(repr(path).encode() + np.asarray(leaf).tobytes())
        for data in (self.world.interactions, self.interactions):
            total.update(dataclasses.replace(self.world, interactions=data).digest().encode())
        return total.hexdigest()

    def forget_texts(self) -> None:
        """Empties the cache of texts that were scored before."""
        self.pool.text_cache.clear()

    def _with_interactions(self, interactions: Interactions) -> "Router":
        """This router with other histories.

        Every user with decisions outside `world` is encoded again from the whole history. So the states are equal to
        the last bit, whether files are added one by one or loaded together.
        """
        changed = np.unique(interactions.decisions.user[len(self.world.interactions.decisions.user) :])
        users = np.zeros((len(interactions.users.ids), self.users.shape[1]), self.users.dtype)
        users[: len(self.scorer.users)] = self.scorer.users
        if len(changed):
            users[changed] = self._encode_users(only_users(interactions, changed))
        return dataclasses.replace(self, interactions=interactions, users=users)

    def _encode_users(self, data: Interactions) -> np.ndarray:
        """States of the users of `data` [users, properties]; its other tables start with the rows of the world."""
        world = grow_world(self.world, data)
        if self.scorer.read is not None and _same_answers(self.world.interactions, data):
            return self.scorer.read(world)
        return self.trained.apply(world, known_ids=self.world.interactions.users.ids).users

    @functools.cached_property
    def live(self) -> LiveRouter:
        """Routes single requests in memory, and takes feedback."""
        return LiveRouter(self)

    @property
    def pool(self) -> Pool:
        """The router in the form that routing needs."""
        return self._pool

    @functools.cached_property
    def _pool(self) -> Pool:
        data, users = self.world.interactions, self.interactions.users.ids
        has_history = np.bincount(self.interactions.decisions.user, minlength=len(users)) > 0
        return Pool(
            scorer=self.scorer,
            temperature=self.trained.temperature,
            llms=self.llms,
            users=np.concatenate([self.users, self.scorer.cold_start_user[None]]),
            has_history=np.append(has_history, False),
            user_rows={name: row for row, name in enumerate(users)},
            query_rows={name: row for row, name in enumerate(data.queries.ids)},
            query_task=data.queries.task,
            task_rows={name: row for row, name in enumerate(data.tasks.ids)},
            scale=self.world.scale,
            encode=self.world.places,
        )


def trained_seeds(workdir: pathlib.Path) -> list[pathlib.Path]:
    """The workdirs of the seeds of a run, in order; empty if `workdir` has no run of several seeds."""
    seeds = [path for path in list_folder(workdir) if path.name.startswith("seed_") and (path / CONFIG).exists()]
    return sorted(seeds, key=lambda path: (len(path.name), path.name))  # seed_2 before seed_10


def served_folder(workdir: pathlib.Path) -> pathlib.Path:
    """The folder of the router that is served: trained on all decisions, or WORKDIR with `train.refit=false`.

    Raises:
      ValueError: if `workdir` has no run.
    """
    return workdir / REFIT if read_config(workdir).train.refit else workdir


def read_config(workdir: pathlib.Path) -> configuration.ExperimentConfig:
    """Reads the configuration of a run.

    Raises:
      ValueError: if `workdir` has no run, or several seeds of one.
    """
    try:
        text = read_text(workdir / CONFIG)
    except (FileNotFoundError, NotADirectoryError) as error:
        seeds = ", ".join(folder.name for folder in trained_seeds(workdir))
        hint = f"; it holds {seeds}: name one of these" if seeds else ""
        raise ValueError(f"{workdir}: expected a trained router with {CONFIG}, found none{hint}") from error
    try:
        return configuration.from_json(text)
    except ValueError as error:
        raise ValueError(f"{workdir / CONFIG}: expected an unchanged configuration, found: {error}") from error


def _same_answers(before: Interactions, now: Interactions) -> bool:
    """Whether `now`, whose rows start with those of `before`, adds no tasks, LLMs or outcomes."""
    return len(before.outcomes.query) == len(now.outcomes.query) and all(
        len(getattr(before, table).ids) == len(getattr(now, table).ids) for table in ("tasks", "llms")
    )


def _make(trained: Trained, world: World, price_factor: np.ndarray) -> Router:
    scorer = trained.apply(world, price_factor)
    return Router(trained, world, scorer, world.interactions, scorer.users)
