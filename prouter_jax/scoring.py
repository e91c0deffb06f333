"""From parameters and a graph to scores of decisions: the same lines for validation, test and serving."""

import dataclasses
import functools

import jax
import numpy as np

from prouter_jax.decisions import DecisionArrays
from prouter_jax.graph import RouterGraph
from prouter_jax.graph_build import bucket, pad_features
from prouter_jax.model import RouterStates, SharedStates
from prouter_jax.prepare import Prepared
from prouter_jax.reader import NUM_FIXED
from prouter_jax.train_state import Network

_QUERIES_AT_ONCE = 4096
_DECISIONS_AT_ONCE = 1 << 16


@dataclasses.dataclass(frozen=True)
class Scorer:
    """A network with parameters; `states` are what message passing made of a graph."""

    network: Network
    params: dict
    states: RouterStates

    def answers(self, vectors: np.ndarray, task: np.ndarray, with_tastes: bool = True) -> np.ndarray:
        """Properties of the answers to new queries, float32 [queries, llms, properties].

        Args:
          vectors: text vectors [queries, width of the encoder].
          task: row of the task, -1 for none, [queries].
          with_tastes: false leaves the LLMs' tastes out.
        """
        tastes = np.asarray(self.states.shared.tastes[-1]) * with_tastes
        parts = []
        for start in range(0, len(task), _QUERIES_AT_ONCE):
            some = slice(start, start + _QUERIES_AT_ONCE)
            number = len(task[some])
            features = pad_features(vectors[some], bucket(number), self.network.width)
            rows = np.zeros(len(features), np.int32)
            rows[:number] = np.where(task[some] < 0, self.states.shared.means.shape[0] - 1, task[some])
            answers = _predict(self.network, self.params, self.states.shared, features, rows)
            parts.append(np.asarray(answers)[:number])
        answers = np.concatenate(parts)
        answers[..., NUM_FIXED:] += tastes
        return answers

    def known_answers(self) -> np.ndarray:
        """The same for the queries of the graph, observed effects and costs where visible."""
        answers = np.array(self.states.answers)
        answers[..., NUM_FIXED:] += np.asarray(self.states.shared.tastes[-1])
        return answers

    def users(self) -> np.ndarray:
        """theta of the graph's users, float32 [users, properties]."""
        return np.asarray(self.states.users)

    def sharpness(self) -> float:
        """What utilities are multiplied with before the served softmax."""
        return float(np.exp(self.params["model"]["log_score_sharpness"]))


def make_scorer(network: Network, params: dict, graph: RouterGraph) -> Scorer:
    """Runs message passing over all that is visible in `graph`."""
    return Scorer(network, params, _encode(network, params, graph))


def score_decisions(scorer: Scorer, prepared: Prepared, decisions: DecisionArrays) -> np.ndarray:
    """Expected utility of every LLM for decisions over the users and queries of `prepared.data`, [decisions, llms].

    A query of the world is scored with what was observed of it, any other by its text and task.
    """
    asked, query = np.unique(decisions.query, return_inverse=True)
    row = prepared.world_query[asked]
    answers = scorer.answers(prepared.vectors.query[asked], prepared.data.queries.task[asked])
    answers[row >= 0] = scorer.known_answers()[row[row >= 0]]
    return expected_utilities(scorer.users(), answers, decisions.user, query)


def expected_utilities(users: np.ndarray, answers: np.ndarray, user: np.ndarray, query: np.ndarray) -> np.ndarray:
    """theta of each decision's user . properties of the answers to its query, float32 [decisions, llms].

    Args:
      users: [users, properties]; answers: [queries, llms, properties].
      user, query: rows of these, [decisions].
    """
    utility = np.empty((len(user), answers.shape[1]), np.float32)
    for start in range(0, len(user), _DECISIONS_AT_ONCE):
        some = slice(start, start + _DECISIONS_AT_ONCE)
        utility[some] = np.einsum("da,dla->dl", users[user[some]], answers[query[some]], optimize=True)
    return utility


@functools.partial(jax.jit, static_argnums=0)
def _encode(network: Network, params: dict, graph: RouterGraph) -> RouterStates:
    return network.bind(params).model(graph)


@functools.partial(jax.jit, static_argnums=0)
def _predict(network: Network, params: dict, shared: SharedStates, vectors: jax.Array, task: jax.Array) -> jax.Array:
    return network.bind(params).model.predict_answers(shared, vectors, task)
