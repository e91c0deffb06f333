"""Off-policy estimates on simulated logs: coverage and width of the 95 % intervals.

A gateway of 5 LLMs and 4 tasks: candidates are 3 to 5 of the LLMs; it picks by a softmax of scores that depend on the
LLM, the task and the length of the query. Users differ in what they like; each log has new users, a few decisions each,
and thumbs. The evaluated policy picks for each user by a rough idea of its taste. The truth is the mean over 2
million contexts of its picks' true rewards.
"""

import dataclasses
import functools
import multiprocessing
from collections.abc import Iterator

import numpy as np

from .figures import Figure, Setting

LOGS, USERS, DECISIONS_EACH = 1000, 400, 8.0  # of a log: its users, and their mean number of decisions
FIRST_SEED = 1_000_000  # of the measured logs; nothing was tuned on these
_LLMS, _TASKS, _OFFERS = 5, 4, 6
_TRUTH_CONTEXTS = 2_000_000
_WORLD_SEED = 7


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Contexts with their unobserved parts: true rewards and logging probabilities, [decisions, llms]."""

    user: np.ndarray
    task: np.ndarray
    offered: np.ndarray
    length: np.ndarray
    reward: np.ndarray
    logging: np.ndarray
    target: np.ndarray


def measure_off_policy(setting: Setting) -> Iterator[Figure]:
    """Coverage of each estimator with known and fitted propensities, and the ratio of their widths."""
    del setting  # a thousand logs are the runs
    covers, widths = study(LOGS)
    for name, values in covers.items():
        logs = f"{LOGS:,} logs of about {USERS * DECISIONS_EACH:,.0f} decisions"
        what = f"{logs}: 95 % intervals that hold the truth, {name}"
        yield Figure(f"cover_{name}", what, "%", [100 * float(values.mean())], at_least=93.5)
    for name in ("ips", "snips", "dr"):
        ratio = float(np.median(widths[f"{name}, fitted"] / widths[f"{name}, known"]))
        yield Figure(
            f"width_{name}", f"width with fitted over known propensities, {name}", "times", [ratio], at_most=1.5
        )


def study(logs: int, first_seed: int = FIRST_SEED, processes: int = 1):
    """Coverage and width of the interval of each log: [logs] for each "ESTIMATOR, known" or ", fitted"."""
    truth, seeds = true_value(), range(first_seed, first_seed + logs)
    if processes > 1:
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            found = pool.map(intervals, seeds, chunksize=20)
    else:
        found = [intervals(seed) for seed in seeds]
    covers = {name: np.array([one[name].low <= truth <= one[name].high for one in found]) for name in found[0]}
    widths = {name: np.array([one[name].high - one[name].low for one in found]) for name in found[0]}
    return covers, widths


def intervals(seed: int) -> dict:
    """The intervals of one log."""
    from prouter_jax.evaluation.off_policy.estimators import estimate, importance_weights, predict_rewards
    from prouter_jax.evaluation.off_policy.log import build_contexts
    from prouter_jax.evaluation.off_policy.propensity import fit_propensities

    log, target = draw_log(seed)
    contexts = build_contexts(log)
    fitted = fit_propensities(log, contexts)
    predicted = predict_rewards(log, contexts, target)
    found = {}
    for how, model, propensity in (
        ("known", None, log.propensity),
        ("fitted", fitted, log.at_served(fitted.probabilities)),
    ):
        terms = estimate(log, target, importance_weights(log, target, propensity), predicted, model)
        found |= {f"{name}, {how}": term.interval(log.user) for name, term in terms.items()}
    return found


def draw_log(seed: int):
    """A log with its propensities, and the evaluated policy's picks: (Log, [decisions, llms])."""
    from prouter_jax.evaluation.off_policy.log import Log

    rng = np.random.default_rng([_WORLD_SEED, seed])
    drawn = _draw(rng, np.repeat(np.arange(USERS), 1 + rng.poisson(DECISIONS_EACH - 1, USERS)))
    rows = np.arange(len(drawn.user))
    served = (np.cumsum(drawn.logging, 1) < rng.random(len(rows))[:, None]).sum(1)
    reward = (rng.random(len(rows)) < drawn.reward[rows, served]).astype(float)
    log = Log(drawn.offered, served, reward, drawn.logging[rows, served], drawn.user, drawn.task, rows, drawn.length)
    return log, drawn.target


@functools.cache
def true_value() -> float:
    """True value of the evaluated policy."""
    drawn = _draw(np.random.default_rng([_WORLD_SEED, 0]), np.arange(_TRUTH_CONTEXTS))
    return float((drawn.target * drawn.reward).sum(1).mean())


def _draw(rng: np.random.Generator, user: np.ndarray) -> Drawn:
    world = np.random.default_rng(_WORLD_SEED)  # the same whatever is drawn
    quality, habit = world.normal(0, 0.6, (_TASKS, _LLMS)), world.normal(0, 0.7, (_TASKS, _LLMS))
    slope, offers = world.normal(0, 0.4, _LLMS), _offers(world)
    taste = rng.normal(0, 0.6, (user.max() + 1, _LLMS))
    idea = taste + rng.normal(0, 0.6, taste.shape)
    task, length = rng.integers(0, _TASKS, len(user)), rng.lognormal(4.5, 0.8, len(user))
    offered = offers[rng.integers(0, len(offers), len(user))]
    reward = 1 / (1 + np.exp(-(0.4 + quality[task] + taste[user])))
    logits = np.where(offered, habit[task] + slope * (np.log1p(length)[:, None] - 4.5), -np.inf)
    logging = np.exp(logits - logits.max(1, keepdims=True))
    picked = np.where(offered, quality[task] + idea[user], -np.inf).argmax(1)
    return Drawn(user, task, offered, length, reward, logging / logging.sum(1, keepdims=True), np.eye(_LLMS)[picked])


def _offers(world: np.random.Generator) -> np.ndarray:
    """Sets of 3 to 5 LLMs."""
    offers = np.zeros((_OFFERS, _LLMS), bool)
    for row in offers:
        row[world.permutation(_LLMS)[: world.integers(3, _LLMS + 1)]] = True
    return offers
