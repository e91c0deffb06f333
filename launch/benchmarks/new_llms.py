"""New LLMs without an outcome, from their descriptions and prices: each LLM of a data set is left out in turn.

Users weigh expected effect against expected cost, both by task as on queries that are new to a router, and choose among
all LLMs or among the LLM and four others drawn at random for each query. The outcomes of the LLM that is left out are

    predicted    from its properties (`model.llm_prior`), the effect one standard error lower
    average      the mean of all LLMs, the effect one standard error lower, as without a prediction
    mean         the means of all other LLMs by task

and, with "20 outcomes", what these become when 20 random outcomes of the LLM are known. Intervals are of the mean over
LLMs, by bootstrap over LLMs. --runs is the number of seeds. The scale of costs knows all LLMs.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .figures import Figure, Setting

DATA_SETS = ("mmlupro_route", "zeroeval_route")
_OUTCOMES, _DRAWS = 20, 4  # known outcomes, and how often they are drawn
_ON_OFFER = 5
_PREFERENCES = np.linspace(0.2, 1.0, 25)  # weights of effect against cost
_BOOTSTRAPS = 10_000


class _Split(NamedTuple):
    """A split of a data set.

    Attributes:
      observed: outcomes of training queries, `answer_features.Observed`.
      properties: of the LLMs, `llm_regression.LlmProperties`.
      task: of the scored queries, [queries].
      rewards: of each preference on the scored queries, NaN where missing, [preferences, queries, llms].
    """

    observed: Any
    properties: Any
    task: np.ndarray
    rewards: np.ndarray


def measure_new_llms(setting: Setting) -> Iterator[Figure]:
    """Errors of predicted means, and gains in reward with the ends of their intervals."""
    for name in DATA_SETS:
        yield from figures(name, study(setting.data, name, range(setting.runs), "test"))


def figures(name: str, found: Mapping[str, np.ndarray]) -> Iterator[Figure]:
    """The figures of a data set, from what `study` returns."""
    for outcome in ("effect", "cost"):
        ratio = found[f"error of {outcome}, predicted"].mean() / found[f"error of {outcome}, mean"].mean()
        yield Figure(f"{name}_{outcome}", f"{name}: error of the predicted {outcome}, of the mean's", "times", [ratio])
    for offer in ("all", f"{_ON_OFFER}"):
        known = f", {_OUTCOMES} outcomes"
        pairs = [("predicted", "average"), ("predicted", "mean"), (f"average{known}", "average")]
        pairs += [(f"mean{known}", "mean"), (f"predicted{known}", f"average{known}")]
        for first, second in pairs:
            gain = found[f"{offer}, {first}"] - found[f"{offer}, {second}"]
            what, key = f"{name}, {offer} on offer: {first} - {second}", f"{name}_{offer}_{first}_{second}"
            for end, value in zip(("mean", "low", "high"), (gain.mean(), *interval(gain)), strict=True):
                yield Figure(f"{key}_{end}", f"{what}, {end}", "1e-3 reward", [1e3 * float(value)])


def interval(gains: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of the mean of LLMs' gains [llms], by bootstrap over LLMs."""
    rows = np.random.default_rng(0).integers(0, len(gains), (_BOOTSTRAPS, len(gains)))
    low, high = np.quantile(gains[rows].mean(1), (0.025, 0.975))
    return float(low), float(high)


def study(data: pathlib.Path, name: str, seeds: Sequence[int], part: str) -> dict[str, np.ndarray]:
    """Rewards and errors for each LLM that is left out, means over seeds, [llms] by name.

    Args:
      part: the queries that are scored, "validation" or "test".
    """
    splits = [_split(data, name, seed, part) for seed in seeds]
    llms = splits[0].rewards.shape[-1]
    rows = [[_leave_out(split, llm, seed) for llm in range(llms)] for seed, split in zip(seeds, splits, strict=True)]
    return {key: np.array([[row[key] for row in of_seed] for of_seed in rows]).mean(0) for key in rows[0][0]}


def _split(data: pathlib.Path, name: str, seed: int, part: str) -> _Split:
    from prouter_jax.config import Data
    from prouter_jax.data.rewards import outcome_matrices
    from prouter_jax.dataset import prepare_dataset, read_source
    from prouter_jax.model.answer_features import observe
    from prouter_jax.model.llm_regression import llm_properties

    config = Data(source="tables", path=str(data / name), users="multi_cost_efficiency", num_users=1)
    dataset = prepare_dataset(read_source(config), config, seed)
    graph = dataset.world.build_graph()
    queries = np.unique(dataset.labelled(part).decisions.query)
    effect, cost = (values[queries] for values in outcome_matrices(dataset.data, dataset.truth_scale))
    weight = _PREFERENCES[:, None, None]
    rewards = (weight * effect - (1 - weight) * cost).astype(np.float32)
    return _Split(observe(graph), llm_properties(graph), dataset.data.queries.task[queries], rewards)


def _leave_out(split: _Split, llm: int, seed: int) -> dict[str, float]:
    """Rewards and errors without one LLM, by name."""
    import jax.numpy as jnp

    new = np.arange(split.rewards.shape[-1]) == llm
    seen, found = np.asarray(split.observed.seen), {}
    answered = np.flatnonzero(seen[:, llm].all(-1))
    rng = np.random.default_rng((seed, llm))
    draws = {
        "": [answered[:0]],
        f", {_OUTCOMES} outcomes": [rng.permutation(answered)[:_OUTCOMES] for _ in range(_DRAWS)],
    }
    for known, rows_drawn in draws.items():
        of_draws = []
        for rows in rows_drawn:
            shown = seen.copy()
            shown[:, llm] = 0
            shown[rows, llm] = seen[rows, llm]
            values = np.asarray(split.observed.values) * shown
            observed = dataclasses.replace(split.observed, values=jnp.asarray(values), seen=jnp.asarray(shown))
            of_draws.append(_outcome(split, observed, new, known))
        found |= {key: float(np.mean([one[key] for one in of_draws])) for key in of_draws[0]}
    return found


def _outcome(split: _Split, observed, new: np.ndarray, known: str) -> dict[str, float]:
    """Rewards and errors of each way to expect the outcomes of a new LLM."""
    llm, found = int(new.argmax()), {}
    truth = _by_task(np.asarray(split.observed.values), split)
    for how, (expected, error) in _ways(split, observed, new).items():
        filled = np.where(np.asarray(observed.seen) > 0, observed.values, expected)[..., :2]
        means = _by_task(filled, split)
        for column, outcome in enumerate(("effect", "cost")):
            found[f"error of {outcome}, {how}{known}"] = abs(float((means - truth)[:, llm, column].mean()))
        means[:, llm, 0] -= error
        for offer, reward in _rewards(split, means, llm).items():
            found[f"{offer}, {how}{known}"] = reward
    return found


def _ways(split: _Split, observed, new: np.ndarray) -> dict[str, tuple]:
    """Expected outcomes of all queries, and by how much the new LLM's effect is lowered."""
    import jax.numpy as jnp

    from prouter_jax.model.answer_features import EFFECT, mean_errors, task_means
    from prouter_jax.model.llm_prior import LlmPrior, make_llm_prior

    llms = len(new)
    means = task_means(observed.values, observed.seen, observed.task, observed.num_tasks)[observed.task]
    values, seen = (x[..., EFFECT] for x in (observed.values, observed.seen))
    errors = mean_errors(values, seen, jnp.asarray(~new, jnp.float32))
    others = jnp.asarray(np.outer(new, ~new) / (llms - 1), jnp.float32)
    mean = LlmPrior(jnp.stack([others, others]), jnp.full((2, llms), 3.0), jnp.zeros(llms))
    prior = make_llm_prior(observed, split.properties, new)
    ways = {"average": (means, errors[new.argmax()]), "mean": (mean.expected(observed, means), 0.0)}
    if prior is None:
        return {**ways, "predicted": ways["average"]}
    error = prior.effect_errors(seen, errors)[new.argmax()]
    return {**ways, "predicted": (prior.expected(observed, means), error)}


def _by_task(values: np.ndarray, split: _Split) -> np.ndarray:
    """Means of the training queries of each task, [tasks, llms, outcomes]."""
    task = np.asarray(split.observed.task)
    return np.stack([values[task == t].mean(0) for t in range(split.observed.num_tasks)])


def _rewards(split: _Split, means: np.ndarray, llm: int) -> dict[str, float]:
    """Mean rewards of the LLMs that are expected to be best, among all and among some, where the LLM answered."""
    known = ~np.isnan(split.rewards[0])
    weight = _PREFERENCES[:, None, None]
    hoped = (weight * means[..., 0] - (1 - weight) * means[..., 1])[:, split.task]
    order = np.random.default_rng(llm).random(known.shape)
    order[:, llm] = -1
    offers = {"all": known, f"{_ON_OFFER}": known & (order.argsort(1).argsort(1) < _ON_OFFER)}
    found = {}
    for name, offered in offers.items():
        picked = np.where(offered, hoped, -np.inf).argmax(-1)[..., None]
        reward = np.take_along_axis(split.rewards, picked, -1)[..., 0]
        found[name] = float(reward[:, known[:, llm]].mean())
    return found
