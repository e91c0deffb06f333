"""The embedded judge: likes answers by their measured style, their quality and their cost, with noise."""

import hashlib
from collections.abc import Sequence

import numpy as np

from prouter_jax.asking.spending import Estimate
from prouter_jax.judges.judge import NOTHING_TO_CHOOSE, Verdicts
from prouter_jax.judges.measures import measure_styles
from prouter_jax.judges.personas import STYLES, Persona
from prouter_jax.judges.questions import Questions


class StyleJudge:
    """A person's utility of an answer is

        styles / |styles| . z(style scores) + quality z(effect) - cost z(log cost) + noise x Gumbel

    where z takes off the mean over all answers of `reference`, divides by their standard deviation and ends at
    -3 and 3 (nobody likes an answer thirty times as much for thirty times the jokes). So the strength of a person's
    taste for style is 1, whether pure or mixed. A missing effect or cost counts as the mean. Costs are compared by
    ratio: log(cost + 1 % of the median cost).
    Gumbel noise of scale `noise` makes choices logit: a lead of `noise` in utility multiplies the odds by e.
    """

    def __init__(self, reference: Questions, noise: float, seed: int):
        """
        Args:
          reference: all questions of a data set: what is usual there. Needs an answer with text.
          noise: >= 0, scale of the Gumbel noise.
          seed: of the noise. It is the same for a person, a question and an LLM, whatever else is asked.
        """
        self.noise, self.seed = noise, seed
        offered = reference.offered
        self.style_scale = _mean_and_deviation(_measure(reference, offered)[offered])
        self.effect_scale = _mean_and_deviation(reference.effect[offered].astype(np.float64))
        known = reference.cost[offered & ~np.isnan(reference.cost)]
        self.least_cost = 0.01 * float(np.median(known)) if len(known) else 0.0
        self.cost_scale = _mean_and_deviation(self._log_cost(reference)[offered])

    def choose(self, personas: Sequence[Persona], questions: Questions) -> Verdicts:
        """The answer of the highest utility; see `Judge`."""
        offered = questions.offered
        style = _standard(_measure(questions, offered), self.style_scale)
        effect = _standard(questions.effect.astype(np.float64), self.effect_scale)
        cost = _standard(self._log_cost(questions), self.cost_scale)
        answers = _hashes([f"{query}\n{llm}" for query in questions.ids for llm in questions.llms])
        able = offered.sum(1) >= 2
        choice = np.empty((len(personas), len(questions.ids)), np.int32)
        for row, persona in enumerate(personas):
            utility = style @ _unit(persona.styles) + persona.quality * effect - persona.cost * cost
            utility += self.noise * self._gumbel(persona, answers).reshape(offered.shape)
            choice[row] = np.where(able, np.where(offered, utility, -np.inf).argmax(1), -1)
        failures = {
            (row, int(question)): NOTHING_TO_CHOOSE
            for row in range(len(personas))
            for question in np.flatnonzero(~able)
        }
        return Verdicts(choice, failures)

    def estimate(self, personas: Sequence[Persona], questions: Questions) -> Estimate:
        """Rules cost nothing."""
        return Estimate(len(personas) * len(questions.ids))

    def _log_cost(self, questions: Questions) -> np.ndarray:
        """Logarithms [questions, llms], NaN where the cost is not known; constant where everything is free."""
        return np.log(np.maximum(questions.cost.astype(np.float64) + self.least_cost, 1e-12))

    def _gumbel(self, persona: Persona, answers: np.ndarray) -> np.ndarray:
        """Standard Gumbel noise for answers, uint64 [answers].

        It comes from hashes and not from a generator: a generator's numbers would depend on what was asked before.
        """
        person = _hashes([f"{self.seed}\n{persona.name}"])[0]
        uniform = ((_mix(answers ^ person) >> np.uint64(11)).astype(np.float64) + 0.5) / 2**53
        return -np.log(-np.log(uniform))


def _measure(questions: Questions, offered: np.ndarray) -> np.ndarray:
    """Style scores [questions, llms, styles], zero where nothing is on offer."""
    scores = np.zeros((*offered.shape, len(STYLES)))
    question = np.nonzero(offered)[0]
    scores[offered] = measure_styles(list(questions.texts[question]), list(questions.answers[offered]))
    return scores


def _mean_and_deviation(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the first axis, without NaN; a column that is constant or unknown has deviation 1."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, values, 0).sum(0) / count
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0).sum(0) / count)
    return mean, np.where(deviation > 1e-12, deviation, 1)


def _standard(values: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """In standard deviations from the mean, three at most; missing counts as the mean."""
    mean, deviation = scale
    return np.clip(np.nan_to_num((values - mean) / deviation), -3, 3)


def _unit(styles: tuple[float, ...]) -> np.ndarray:
    weights = np.array(styles)
    return weights / max(np.linalg.norm(weights), 1e-12)


def _hashes(names: list[str]) -> np.ndarray:
    """uint64 [names], the first eight bytes of their SHA-256."""
    return np.frombuffer(b"".join(hashlib.sha256(name.encode()).digest()[:8] for name in names), "<u8")


def _mix(numbers: np.ndarray) -> np.ndarray:
    """Spreads each bit of uint64 numbers over all 64: multiply and fold, by odd constants (as SplitMix64 does)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
