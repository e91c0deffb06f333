"""`Scorer`: scores LLMs for users and queries with a trained network; used by validation, evaluation and serving."""

import dataclasses
from collections.abc import Callable, Mapping

import jax
import numpy as np

from prouter_jax.config import Model
from prouter_jax.data.query_features import QueryFeatures, make_query_features
from prouter_jax.data.rewards import DecisionArrays
from prouter_jax.dataset import Dataset
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.graph.world import World
from prouter_jax.model.application import Application, apply_to_world, query_features_of
from prouter_jax.model.mixed_choices import ChoiceMixer
from prouter_jax.model.network import Architecture
from prouter_jax.model.new_llms import extend_network
from prouter_jax.model.query_batch import QueryBatch, join
from prouter_jax.model.share_predictor import SharePredictor
from prouter_jax.model.transfer import extend_transfer

_DECISIONS_AT_ONCE = 1 << 16  # bounds the memory of gathered answer features


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A trained network applied to a world: states of its users and of the answers to its queries.

    The logits of a choice are sharpness * (user . answer features). For new queries they are computed from expected
    answer features, or regressed from the user's choice probabilities on known queries (`config.model.unseen_queries`).

    Attributes:
      users: weights of the users, float32 [users, features].
      cold_start_user: weights of a user without history, [features].
      answers, cost: of the answers to known queries, as in `QueryBatch`.
      predict: function from features of new queries to expected (answers, cost) and the kernel, as in `QueryBatch`.
      unseen_queries: function (users, kernel, user, place) -> logits that regresses choice probabilities, see
        `share_predictor.SharePredictor.logits`; None where they are not.
      side: column of the feature "shown first"; None if the data does not say which answer was shown first.
      sharpness: inverse temperature of choices, in 1 / utility.
      named: columns of each answer feature in `users`, by its name; empty if states are not weights on features.
      read: function from another world with the same queries, LLMs and outcomes to the weights of its users, [users,
        features]; None where weights also depend on the other users.
      applied: the network in its world, for `serving.live` and `serving.export`; None where LLMs were added.
      mixer: mixes what similar users would choose into the choice probabilities; then states have the columns of
        `mixed_choices`. None for users' own weights alone.
      unseen: the known queries without observed answers that training did not have, which are scored as new ones,
        bool [queries]; None for none.
      places: features of the known queries; None if `unseen` is.
    """

    users: np.ndarray
    cold_start_user: np.ndarray
    answers: np.ndarray
    cost: np.ndarray
    predict: Callable[[QueryFeatures], tuple[np.ndarray, np.ndarray, np.ndarray | None]]
    unseen_queries: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray] | None
    side: int | None
    sharpness: float
    named: Mapping[str, slice] = dataclasses.field(default_factory=dict)
    read: Callable[[World], np.ndarray] | None = None
    applied: Application | None = None
    mixer: ChoiceMixer | None = None
    unseen: np.ndarray | None = None
    places: QueryFeatures | None = None

    def ask(self, places: QueryFeatures) -> QueryBatch:
        """Prepares new queries from their features."""
        return QueryBatch(*self.predict(places), np.zeros(len(places.task), bool))

    def recall(self, rows: np.ndarray) -> QueryBatch:
        """Prepares known queries.

        Args:
          rows: rows of the queries in the world, int [queries].
        """
        if self.unseen is None or self.places is None or not self.unseen[rows].any():
            return QueryBatch(self.answers[rows], self.cost[rows], None, np.ones(len(rows), bool))
        new, kernel = self.unseen[rows], None
        nearness = self.ask(self.places.take(rows[new])).kernel
        if nearness is not None:
            kernel = np.zeros((len(rows), nearness.shape[1]), np.float32)
            kernel[new] = nearness
        return QueryBatch(self.answers[rows], self.cost[rows], kernel, ~new)

    def logits(self, users: np.ndarray, asked: QueryBatch, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Returns the logits of a choice among all LLMs, float32 [decisions, llms].

        Args:
          users: states of users, [users, features].
          asked: the queries.
          user, place: rows of each decision's user in `users` and query in `asked`, [decisions].
        """
        if self.mixer is None:
            return self._own_logits(users, asked, user, place)
        own = self._own_logits(users[:, : self.answers.shape[2]], asked, user, place)
        return self.mixer.logits(own, users, asked, user, place)

    def _own_logits(self, users: np.ndarray, asked: QueryBatch, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """As `logits`, by the users' own weights alone."""
        direct = np.ones(len(user), bool) if self.unseen_queries is None else asked.known[place]
        if direct.all():
            return self._products(users, asked.answers, user, place)
        found = np.empty((len(user), self.answers.shape[1]), np.float32)
        found[direct] = self._products(users, asked.answers, user[direct], place[direct])
        if self.unseen_queries is not None and asked.kernel is not None:
            found[~direct] = self.unseen_queries(users, asked.kernel, user[~direct], place[~direct])
        return found

    def _products(self, users: np.ndarray, answers: np.ndarray, user: np.ndarray, place: np.ndarray) -> np.ndarray:
        """Logits sharpness * (user . answer), computed for some decisions at a time."""
        found = np.empty((len(user), answers.shape[1]), np.float32)
        for start in range(0, len(user), _DECISIONS_AT_ONCE):
            some = slice(start, start + _DECISIONS_AT_ONCE)
            found[some] = np.einsum("da,dla->dl", users[user[some]], answers[place[some]], optimize=True)
        found *= self.sharpness
        return found


def prepare_queries(scorer: Scorer, dataset: Dataset, queries: np.ndarray) -> tuple[QueryBatch, np.ndarray]:
    """Prepares queries of a data set: known ones with their observed answers, new ones from their text and task.

    Args:
      queries: rows of the queries in `dataset.data`, [queries].

    Returns:
      The prepared queries, known ones first, and the row of each query among them, [queries].
    """
    row = dataset.world_query[queries]
    new, known = queries[row < 0], row[row >= 0]
    order = np.argsort(np.argsort(row < 0, kind="stable"), kind="stable")
    if not len(new):
        return scorer.recall(known), order
    vectors, tasks = dataset.vectors, dataset.data.queries.task[new]
    places = make_query_features(vectors.query[new], vectors.query_style[new], tasks, len(dataset.data.tasks.ids))
    return join(scorer.recall(known), scorer.ask(places)), order


def score_decisions(scorer: Scorer, dataset: Dataset, decisions: DecisionArrays, blind: bool = False) -> np.ndarray:
    """Returns the logits of every LLM for decisions of a data set, float32 [decisions, llms].

    Args:
      decisions: over the users and queries of `dataset.data`.
      blind: whether to score every user as one without history.

    Raises:
      ValueError: if the logit of a candidate is not finite.
    """
    distinct, place = np.unique(decisions.query, return_inverse=True)
    asked, order = prepare_queries(scorer, dataset, distinct)
    users = scorer.cold_start_user[None] if blind else scorer.users
    user = np.zeros(len(place), np.int64) if blind else decisions.user
    logits = scorer.logits(users, asked, user, order[place])
    if scorer.side is not None:
        rows = np.flatnonzero(decisions.first >= 0)
        logits[rows, decisions.first[rows]] += scorer.sharpness * users[user[rows], scorer.side]
    wrong = int((~np.isfinite(np.where(decisions.offered, logits, 0))).any(1).sum())
    if wrong:
        raise ValueError(f"scores: expected finite ones, found others in {wrong:,} of {len(logits):,} decisions")
    return logits


def make_scorer(
    network: Architecture,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: Model,
    price_factor: np.ndarray | None = None,
    users: np.ndarray | None = None,
    known_ids: np.ndarray | None = None,
    trained_queries: int | None = None,
) -> Scorer:
    """Applies a network to a world with the LLMs of training; `extend` adds LLMs.

    Args:
      graph: the graph of the world.
      price_factor: current price of each LLM over its price in training, [llms]; None if no price changed.
      users: `Scorer.users` of an earlier scorer with these parameters in this world; inferred if None.
      known_ids: of the users of training; None if the world's first users are these.
      trained_queries: number of queries in training, the world's first; None for all.
    """
    count = len(world.interactions.queries.ids)
    applied = apply_to_world(network, params, world, graph, model, price_factor, known_ids, trained_queries)
    answers, cost = applied.priced(
        np.asarray(applied.encoded.answers)[:count],
        np.asarray(applied.encoded.cost)[:count],
        world.interactions.queries.task,
    )
    features, sharpness = network.rounds and network.rounds.features, float(applied.encoded.sharpness)
    kernel = applied.kernel if applied.by_share else None
    named = features.columns_by_name() if features else {}
    scored_by_text = network.rounds is not None and applied.unseen.any()
    return Scorer(
        users=applied.read(world, graph) if users is None else users,
        cold_start_user=applied.cold_start_user(),
        answers=answers,
        cost=cost,
        predict=applied.predict,
        unseen_queries=SharePredictor(kernel, jax.device_put(answers[~applied.unseen]), sharpness).logits
        if kernel
        else None,
        side=features.shown_first_index if features and features.shown_first else None,
        sharpness=sharpness,
        named=named if applied.similar is None else named | {"similar users": slice(answers.shape[2], None)},
        read=applied.read,
        applied=applied,
        mixer=applied.similar and applied.similar.mixer,
        unseen=applied.unseen if scored_by_text else None,
        places=query_features_of(world, graph.layout.num("task")) if scored_by_text else None,
    )


def extend(network: Architecture, params: dict, graph: RouterGraph) -> tuple[Architecture, dict]:
    """Returns the network and parameters for a graph with more users, queries or LLMs; see `extend_network`.

    Args:
      graph: its rows start with those of the graph in training.
    """
    if network.rounds is None:  # message passing has no parameters for single queries or LLMs
        return network, params
    rounds, params = extend_network(network.rounds, params, graph)
    if rounds is network.rounds:
        return network, params
    if network.transfer is None:
        return dataclasses.replace(network, rounds=rounds), params
    transfer, params = extend_transfer(network.transfer, params, rounds.features)
    return dataclasses.replace(network, rounds=rounds, transfer=transfer), params


def apply_network(
    network: Architecture,
    params: dict,
    world: World,
    graph: RouterGraph,
    model: Model,
    price_factor: np.ndarray | None = None,
    users: np.ndarray | None = None,
    known_ids: np.ndarray | None = None,
    trained_queries: int | None = None,
) -> Scorer:
    """Applies a trained network to a world that may have more users, queries or LLMs than in training.

    Args:
      graph: the graph of the world.
      price_factor, users, known_ids, trained_queries: as in `make_scorer`; `users` is ignored if the network had to be
        extended.
    """
    extended, params = extend(network, params, graph)
    if extended is network:
        return make_scorer(network, params, world, graph, model, price_factor, users, known_ids, trained_queries)
    of_training = {"known_ids": known_ids, "trained_queries": trained_queries}
    # the parameters of new LLMs depend on all users of the world, so no user's weights can be inferred alone
    scorer = make_scorer(extended, params, world, graph, model, price_factor, **of_training)
    return dataclasses.replace(scorer, read=None, applied=None)
