"""`RouterNetwork`: one network of parts, some of which may be left out.

    BayesianRounds   users' weights on the features of answers, estimated by EM           presets "em" and "tuned"
    Transfer         numbers that gradients train on top of EM                            preset "tuned"
    MessagePassing   states from layers of message passing, trained by gradients          preset "paper"

Rounds and layers give a state to every user and to every answer, and a utility is the product of the two. The states of
the network are those of its parts side by side, so the parts' utilities add up:

    utility = [weights | user state] . [features | answer state]
"""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx, struct
from jaxtyping import Array, Float

from prouter_jax.config import ExperimentConfig, Model
from prouter_jax.graph.schema import RouterGraph
from prouter_jax.model.answer_features import AnswerFeatures
from prouter_jax.model.likelihood import Population
from prouter_jax.model.llm_states import STATE_SIZE
from prouter_jax.model.message_passing import edges_without
from prouter_jax.model.paper_network import Layers, MessagePassing
from prouter_jax.model.rounds import BayesianRounds, Rounds
from prouter_jax.model.transfer import Transfer, TransferSizes

_SHARPNESS_WITH_RATINGS = 10.0  # ratings fix the scale of utility, so choices need a sharpness of their own
_MAX_KNOWN_USERS = 128  # among whom similar users are looked for
_MAX_TRAINING_USERS = 1024  # of a batch, whose weights stay among the parameters, for the cold start of users


@struct.dataclass
class States:
    """States of a graph's users and of the answers to its queries; a utility is the product of two rows.

    Attributes:
      users: [users, width].
      answers: [queries, llms, width].
    """

    users: jax.Array
    answers: jax.Array


class RouterNetwork(nnx.Module):
    """The network with its parameters.

    Attributes:
      rounds, messages, transfer: the parts; None for one that is left out.
    """

    def __init__(
        self, rounds: BayesianRounds | None, messages: MessagePassing | None, transfer: Transfer | None = None
    ):
        self.rounds = rounds
        self.messages = messages
        self.transfer = transfer

    def __call__(self, graph: RouterGraph) -> States:
        """Computes the states of a graph's users and answers."""
        users, answers = [], []
        if self.rounds is not None:
            answers.append(self.rounds.answers(graph))
            users.append(self.rounds.read_users(graph, answers[0], population=self.population(self.rounds)))
        if self.messages is not None:
            states = self.messages(graph)
            users.append(states.users)
            answers.append(states.answers)
        return States(side_by_side(users), side_by_side(answers))

    def read_users(
        self, graph: RouterGraph, answers: Float[Array, "queries llms width"]
    ) -> Float[Array, "users width"]:
        """Computes the states of a graph's users from their histories.

        Args:
          answers: states of the answers to the graph's queries.
        """
        users = []
        if self.rounds is not None:
            features = answers[..., : self.rounds.sizes.features.size]
            users.append(self.rounds.read_users(graph, features, population=self.population(self.rounds)))
        if self.messages is not None:
            users.append(self.messages(graph).users)
        return side_by_side(users)

    def population(self, rounds: BayesianRounds) -> Population:
        """Returns the prior and the scales with which the Bayesian rounds read histories."""
        population = rounds.population()
        return population if self.transfer is None else self.transfer.gated(population)

    def sharpness(self) -> Float[Array, ""]:
        """Returns the inverse temperature of choices, in 1 / utility."""
        fixed = 1.0 if self.rounds is None else self.rounds.sizes.sharpness
        if self.transfer is not None:
            fixed = jnp.where(self.transfer.accepted[...] > 0, self.transfer.sharpness(fixed), fixed)
        learnt = jnp.ones(()) if self.messages is None else jnp.exp(self.messages.head.log_sharpness[...])
        return fixed * learnt


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The parts of a `RouterNetwork` and their sizes; hashable, so a static argument of compiled functions.

    Attributes:
      rounds, layers, transfer: sizes of the parts; None for a part that is left out. `transfer` needs `rounds`.
    """

    rounds: Rounds | None = None
    layers: Layers | None = None
    transfer: TransferSizes | None = None

    @property
    def parts(self) -> tuple[Rounds | Layers | TransferSizes, ...]:
        """The parts that the network has."""
        return tuple(part for part in (self.rounds, self.layers, self.transfer) if part is not None)

    def tuned(self) -> tuple[Rounds, TransferSizes]:
        """Returns the rounds and what gradients train on top of them.

        Raises:
          ValueError: if the network has none.
        """
        if self.rounds is None or self.transfer is None:
            raise ValueError('config.model.preset: expected "tuned", found a network without gradient steps after EM')
        return self.rounds, self.transfer

    def init(self, key: jax.Array) -> dict:
        """Returns the initial parameters, those of all parts in one nested dictionary."""
        return {name: value for part in self.parts for name, value in part.init(key).items()}

    def bind(self, params: dict) -> RouterNetwork:
        """Returns the network with these parameters; also inside a transformation."""
        rounds = None if self.rounds is None else self.rounds.bind(params)
        messages = None if self.layers is None else self.layers.bind(params)
        transfer = None if self.transfer is None else self.transfer.bind(params)
        return RouterNetwork(rounds, messages, transfer)

    def kinds(self) -> dict:
        """Returns the type of each parameter's variable, in the structure of the parameters."""
        return {name: kind for part in self.parts for name, kind in part.kinds().items()}


def make_network(experiment: ExperimentConfig, graph: RouterGraph, num_users: int) -> Architecture:
    """Makes the architecture of a configuration for the sizes of a graph.

    Args:
      num_users: number of users in the graph, without padding.
    """
    model, batch = experiment.model, experiment.train.users_per_step
    if model.preset == "paper":
        sizes = (model.hidden_dim, model.message_passing_steps, model.head)
        return Architecture(layers=Layers(*sizes, edges_without(model.without), graph.width))
    rounds = _make_rounds(model, graph, min(batch, _MAX_TRAINING_USERS) if batch else num_users)
    tuned = model.preset == "tuned" and model.unseen_queries == "share"
    return Architecture(rounds=rounds, transfer=_make_transfer(model, rounds) if tuned else None)


def side_by_side(states: list[jax.Array]) -> jax.Array:
    """Concatenates the states of the parts."""
    return jnp.concatenate(states, -1)


def _make_transfer(model: Model, rounds: Rounds) -> TransferSizes:
    kernel = model.query_kernel
    scales = (kernel.text, kernel.style, kernel.task, kernel.noise)
    return TransferSizes(rounds.features, scales, min(rounds.users, _MAX_KNOWN_USERS))


def _make_rounds(model: Model, graph: RouterGraph, num_users: int) -> Rounds:
    layout = graph.layout
    features = AnswerFeatures(
        style=graph.style.shape[-1] if model.style else 0,
        llm_state=min(layout.num("llm"), STATE_SIZE) if model.llm_weights else 0,
        own_columns=0,
        shown_first=int(layout.has_sides),
        population_utility=int(model.population_mean),
        latent_factors=model.factor_dim,
    )
    return Rounds(
        features=features,
        queries=layout.num("query"),
        llms=layout.num("llm"),
        users=num_users,
        factor_precision=model.factor_precision,
        prior_strength=model.prior_strength,
        warmup_rounds=model.warmup_rounds,
        sharpness=_SHARPNESS_WITH_RATINGS if layout.has_ratings else 1.0,
    )
