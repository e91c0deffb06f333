"""What a training step hides, so that it must be foreseen from the rest."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from prouter_jax.config import ExperimentConfig
from prouter_jax.config_limits import WARM
from prouter_jax.graph import RouterGraph, Visibility
from prouter_jax.histories import read_histories


@dataclasses.dataclass(frozen=True)
class Hiding:
    """How a step chooses what to hide; see `config.Train`."""

    folds: int
    whole_queries: bool
    full_history_share: float
    no_task_share: float
    text_noise: float


def make_hiding(config: ExperimentConfig) -> Hiding:
    """What is hidden matches what is tested: whole queries if those of the test are new, else decisions."""
    train = config.train
    shares = (train.full_history_share, train.no_task_share, train.text_noise)
    return Hiding(train.folds, config.data.split not in WARM, *shares)


def choose_hidden(graph: RouterGraph, hiding: Hiding, step: jax.Array, key: jax.Array) -> tuple[Visibility, jax.Array]:
    """What a step may see, and which decisions [users, decisions] it must foresee.

    Each pass of `folds` steps hides every query (or, where test queries are known ones, every
    decision) once. A user shows all its other decisions or a part, down to none.
    """
    layout, seen = graph.layout, graph.visibility
    pass_key = jax.random.fold_in(key, step // hiding.folds)
    task_key, length_key, keep_key = jax.random.split(jax.random.fold_in(key, 2**30 + step), 3)
    if hiding.whole_queries:
        fold = jax.random.permutation(pass_key, layout.num("query")) % hiding.folds
    else:
        # a draw for each, not a permutation of all: the mesh decides how many users there are with padding
        fold = jax.random.randint(pass_key, (layout.users, layout.decisions), 0, hiding.folds)
    hidden = (fold == step % hiding.folds).astype(jnp.float32)
    query = jnp.broadcast_to(read_histories(graph).query, (layout.users, layout.decisions))
    scored = hidden[query] if hiding.whole_queries else hidden
    length = _history_shares(length_key, layout.users, layout.decisions, hiding.full_history_share)
    shown = jax.random.uniform(keep_key, scored.shape) < length[:, None]
    decisions = seen.decisions * (1 - scored) * shown
    if not hiding.whole_queries:
        return dataclasses.replace(seen, decisions=decisions), scored
    no_task = hidden * (jax.random.uniform(task_key, hidden.shape) < hiding.no_task_share)
    return Visibility(seen.outcomes * (1 - hidden), seen.tasks * (1 - no_task), decisions), scored


def blur_texts(graph: RouterGraph, amount: float, key: jax.Array) -> RouterGraph:
    """Adds noise of norm `amount` (a text vector has norm 1) to the queries' texts.

    What is learnt of a text then holds for texts near it: with few queries a network learns each by heart.
    """
    texts = graph.nodes("query")
    noise = jax.random.normal(key, texts.shape) * (amount / np.sqrt(texts.shape[1]))
    return graph.with_nodes("query", texts + noise)


def _history_shares(key: jax.Array, num_users: int, longest: int, full: float) -> jax.Array:
    """Share of its decisions that each user shows [users]: all, or evenly spread over orders of magnitude."""
    all_key, share_key = jax.random.split(key)
    part = jnp.exp(-jax.random.uniform(share_key, (num_users,)) * jnp.log(2.0 * longest))
    return jnp.where(jax.random.uniform(all_key, (num_users,)) < full, 1.0, part)
