"""The style judge: a random-utility model that chooses answers by style, quality and cost; it needs no LLM.

The style scores of an answer, one for each of nine styles, are computed from its text (see `style_scores`).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt64

from prouter_jax.llm.budget import Estimate
from prouter_jax.llm.judges.base import STYLES, TOO_FEW_ANSWERS, Persona, Questions, Verdicts
from prouter_jax.llm.judges.style_scores import score_styles


class StyleJudge:
    """Chooses the answer with the highest utility for a persona:

        styles / |styles| . z(style scores) + quality_weight z(effect) - cost_weight z(log cost) + noise * Gumbel

    z subtracts the mean over all answers of `reference`, divides by their standard deviation and clips to [-3, 3], so
    that no extreme answer decides everything. Effect is the quality of an answer in [0, 1]. A missing
    effect or cost counts as the mean. Costs are compared by ratio: log(cost + 1 % of the median cost).
    With the noise, choices follow a softmax of utility / noise.
    """

    def __init__(self, reference: Questions, noise: float, seed: int):
        """
        Args:
          reference: all questions of a data set, for the means and deviations; one answer must have text.
          noise: scale of the Gumbel noise, >= 0.
          seed: seed of the noise, which depends on the seed, persona, question and LLM only.
        """
        self.noise, self.seed = noise, seed
        offered = reference.offered
        self.style_scale = _mean_and_deviation(_score(reference, offered)[offered])
        self.effect_scale = _mean_and_deviation(reference.effect[offered].astype(np.float64))
        known = reference.cost[offered & ~np.isnan(reference.cost)]
        self.cost_offset = 0.01 * float(np.median(known)) if len(known) else 0.0
        self.cost_scale = _mean_and_deviation(self._log_cost(reference)[offered])

    def choose(self, personas: Sequence[Persona], questions: Questions) -> Verdicts:
        """See `Judge.choose`."""
        offered = questions.offered
        style = _standardize(_score(questions, offered), self.style_scale)
        effect = _standardize(questions.effect.astype(np.float64), self.effect_scale)
        cost = _standardize(self._log_cost(questions), self.cost_scale)
        answer_hashes = _hashes([f"{query}\n{llm}" for query in questions.ids for llm in questions.llms])
        enough = offered.sum(1) >= 2
        choice = np.empty((len(personas), len(questions.ids)), np.int32)
        for row, persona in enumerate(personas):
            utility = style @ _unit(persona.styles) + persona.quality_weight * effect - persona.cost_weight * cost
            utility += self.noise * self._gumbel(persona, answer_hashes).reshape(offered.shape)
            choice[row] = np.where(enough, np.where(offered, utility, -np.inf).argmax(1), -1)
        failures = {
            (row, int(question)): TOO_FEW_ANSWERS
            for row in range(len(personas))
            for question in np.flatnonzero(~enough)
        }
        return Verdicts(choice, failures)

    def estimate_cost(self, personas: Sequence[Persona], questions: Questions) -> Estimate:
        """See `Judge.estimate_cost`; style scores cost nothing."""
        return Estimate(len(personas) * len(questions.ids))

    def _log_cost(self, questions: Questions) -> Float[np.ndarray, "questions llms"]:
        """Log costs, NaN if unknown; constant if everything is free."""
        return np.log(np.maximum(questions.cost.astype(np.float64) + self.cost_offset, 1e-12))

    def _gumbel(self, persona: Persona, answers: UInt64[np.ndarray, " answers"]) -> Float[np.ndarray, " answers"]:
        """Standard Gumbel noise of answers, given by their hashes.

        A sequential random generator would make the noise of an answer depend on the number of answers before it.
        """
        person = _hashes([f"{self.seed}\n{persona.name}"])[0]
        uniform = ((_mix_bits(answers ^ person) >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
        return -np.log(-np.log(uniform))


def _score(questions: Questions, offered: Bool[np.ndarray, "questions llms"]) -> Float[np.ndarray, "questions llms 9"]:
    """Style scores, 0 where no answer is offered."""
    scores = np.zeros((*offered.shape, len(STYLES)))
    question = np.nonzero(offered)[0]
    scores[offered] = score_styles(list(questions.texts[question]), list(questions.answers[offered]))
    return scores


def _mean_and_deviation(values: Float[np.ndarray, "answers ..."]) -> tuple[np.ndarray, np.ndarray]:
    """Over the first axis, without NaN; the deviation of a constant or unknown column is 1."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, values, 0).sum(0) / count
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(0) / count)
    return np.asarray(mean), np.where(deviation > 1e-12, deviation, 1)


def _standardize(values: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Standard scores, clipped to [-3, 3]; a missing value counts as the mean."""
    mean, deviation = scale
    return np.clip(np.nan_to_num((values - mean) / deviation), -3, 3)


def _unit(styles: tuple[float, ...]) -> Float[np.ndarray, " styles"]:
    """The style weights divided by their norm."""
    weights = np.array(styles)
    return weights / max(np.linalg.norm(weights), 1e-12)


def _hashes(names: list[str]) -> UInt64[np.ndarray, " names"]:
    """The first eight bytes of the SHA-256 of each name."""
    return np.frombuffer(b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in names), "<u8")


def _mix_bits(numbers: UInt64[np.ndarray, " numbers"]) -> UInt64[np.ndarray, " numbers"]:
    """The finalizer of SplitMix64: every input bit changes every output bit with probability about 1/2."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
