"""Measures what the gradient steps of preset "tuned" bring: scores against those of the EM in the same training run.

Probabilities are the softmax of the logits at temperature 1. All numbers are means over test users of the user's mean,
and the numbers of each user go with them, from which `table` takes intervals over users.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from prouter_jax import metrics
from prouter_jax.data.rewards import choice_shares
from prouter_jax.dataset import Dataset, prepare_dataset
from prouter_jax.evaluation.protocol.definition import cached_source, from_arguments
from prouter_jax.evaluation.protocol.fitting import train_router
from prouter_jax.evaluation.protocol.measure import Folders, split_given
from prouter_jax.evaluation.protocol.table import ACCEPTED
from prouter_jax.model.inference import score_decisions
from prouter_jax.report.types import ROUTER
from prouter_jax.serving.router import Trained

EM = "EM alone"


def measure_gradients(setting: str, config: Mapping, seed: int, ks: Sequence[int | None], folders: Folders) -> list:
    """Scores the trained numbers, if the gate accepted them, and EM alone on the test decisions.

    Args:
      setting: name of the setting; measurements of accuracy add the metric to it.
      config: configuration of preset "tuned" as `definition.to_arguments` gives it.
      ks: lengths of the histories of new users; (None,) without new users.
    """
    whole = from_arguments(config, folders.data)
    dataset = prepare_dataset(cached_source(whole.data), whole.data, seed)
    trained = train_router(whole, dataset, seed)
    em = dataclasses.replace(trained, params=trained.params | {"accepted": np.zeros((), np.float32)})
    found = []
    for k in ks:
        given = split_given(whole, k, seed) if k else dataset
        of_users = {name: _of_users(one, given) for name, one in ((ROUTER, trained), (EM, em))}
        for metric, name in (("log_loss", setting), ("accuracy", f"{setting}, accuracy")):
            found.append({"setting": name, "k": k, "seed": seed, "metric": metric, "by_user": of_users})
            found[-1]["policies"] = {policy: _means(one) for policy, one in of_users.items()}
            found[-1]["policies"][ROUTER][ACCEPTED] = float(trained.params["accepted"])
    return found


def _of_users(trained: Trained, dataset: Dataset) -> dict[str, dict[str, float]]:
    """The mean log loss and accuracy of each user with test decisions, by metric and id; accuracy leaves ties out."""
    decisions = dataset.labelled("test").decisions
    logits = score_decisions(trained.apply(dataset.world), dataset, decisions)
    shares = choice_shares(decisions)
    right = metrics.matches(metrics.choose(logits, decisions.offered), shares)
    values = {
        "log_loss": metrics.log_loss(logits, decisions.offered, shares),
        "accuracy": np.where(np.count_nonzero(shares, axis=1) == 1, right, np.nan),
    }
    ids, row = np.unique(dataset.data.users.ids[decisions.user], return_inverse=True)
    return {
        metric: dict(zip(ids.tolist(), metrics.group_means(of_decisions, row, len(ids)).tolist(), strict=True))
        for metric, of_decisions in values.items()
    }


def _means(of_users: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {metric: metrics.mean(np.array(list(users.values()))) for metric, users in of_users.items()}
