"""The style judge: a random-utility model that chooses answers by style, quality and cost; it needs no LLM.

Each of the nine style scores is computed from counts of words and marks in the answer's text. Rates are counts per
word, with 20 added to the number of words, so that a short answer with one mark does not win.

| style | score |
|---|---|
| warmth | rate of warm words, and half the rate of words for you and me |
| play | rate of playful words and emoji, and half the rate of exclamation marks |
| steps | log(1 + numbered lines) + log(1 + other list lines) / 4 + log(1 + words of order) / 4 |
| brevity | 6 x rate of numbers - log(20 + words) |
| explanation | log(20 + words) / 4 + 16 x rate of reasons and examples |
| relevance | words shared with the query / sqrt(its words x the answer's words), without stop words |
| completeness | share of the query's words in the answer - abs(log(20 + words) - log(20 + 120)) - 0.5 if cut off |
| eloquence | distinct words / sqrt(words) / 4 + letters per word / 2 + 4 x rate of commas, dashes and semicolons
  - list lines / 10 |
| simplicity | 12 x rate of comparisons - letters per word - words per sentence / 20 |

Letters per word are limited to 8 and words per sentence to 40, so that another script or a row of marks has no style.
"""

import hashlib
import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt64

from prouter_jax.llm.budget import Estimate
from prouter_jax.llm.judges.base import STYLES, TOO_FEW_ANSWERS, Persona, Questions, Verdicts

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBERED = re.compile(r"^\s*(?:\*\*)?(?:step\s+)?\d+[.):]", re.MULTILINE | re.IGNORECASE)
_LISTED = re.compile(r"^\s*[-*•]\s", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n\s*\n")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_FINISHED = tuple(".!?:)]}\"'`*|>\u201d\u2019")
_PADDING = 20
_IDEAL_LOG_LENGTH = math.log(120 + _PADDING)


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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WARM = _words(
    "feel feeling feelings friend friends dear sorry glad happy hope care caring love lovely welcome thank thanks "
    "please understand wonderful support together heart kind gentle comfort worry hug enjoy proud share hello hi"
)
_PERSONAL = _words("you your yours yourself we our us i me my i'm you're you'll you've we're let's we'll i'd i'll i've")
_PLAYFUL = _words(
    "fun funny joke jokes haha hilarious silly wacky whimsical magic magical adventure pirate wizard dragon party wow "
    "oh hey yay boom oops imagine crazy weird quirky giggle laugh laughing tickle mischief cheeky pun dance wink"
)
_ORDER = _words("first second third next then finally lastly afterwards before after begin start once step steps")
_REASONS = _words(
    "because since therefore thus hence reason reasons why causes caused due means meaning example instance "
    "specifically result explains explain consequently whereas although however background context namely essentially"
)
_COMPARISONS = _words("like imagine picture just simply easy simple tiny big little see look think pretend similar")
_STOP = _words(
    "a an the and or but if of to in on at by for with from as is are was were be been do does did can could should "
    "would will what which who how when where why that this these those it its i you me my your we our they their he "
    "she not no so than then there have has had about into give please some any"
)


def score_styles(queries: Sequence[str], answers: Sequence[str]) -> Float32[np.ndarray, "answers 9"]:
    """The nine scores of each answer, in the order of `STYLES`; finite for any text."""
    rows = [_score_answer(query, answer) for query, answer in zip(queries, answers, strict=True)]
    return np.array(rows, np.float32).reshape(-1, len(STYLES))


def _score_answer(query: str, answer: str) -> tuple[float, ...]:
    words = _WORD.findall(answer.lower().replace("\u2019", "'"))
    distinct, query_words = set(words), set(_WORD.findall(query.lower())) - _STOP
    length, padded = max(len(words), 1), len(words) + _PADDING
    log_length, letters = math.log(padded), min(sum(map(len, words)) / length, 8)
    numbered, listed = len(_NUMBERED.findall(answer)), len(_LISTED.findall(answer))
    shared, content = len(query_words & distinct), len(distinct - _STOP)
    sentence = min(length / (len(_SENTENCE_END.findall(answer)) + 1), 40)
    return (
        (_count(words, _WARM) + 0.5 * _count(words, _PERSONAL)) / padded,
        (_count(words, _PLAYFUL) + len(_EMOJI.findall(answer)) + 0.5 * answer.count("!")) / padded,
        math.log1p(numbered) + (math.log1p(listed) + math.log1p(_count(words, _ORDER))) / 4,
        6 * len(_NUMBER.findall(answer)) / padded - log_length,
        log_length / 4 + 16 * _count(words, _REASONS) / padded,
        shared / math.sqrt(max(len(query_words) * content, 1)),
        shared / max(len(query_words), 1) - abs(log_length - _IDEAL_LOG_LENGTH) - 0.5 * _is_cut_off(answer),
        len(distinct) / math.sqrt(length) / 4 + letters / 2 + 4 * _pauses(answer) / padded - (numbered + listed) / 10,
        12 * _count(words, _COMPARISONS) / padded - letters - sentence / 20,
    )


def _count(words: list[str], markers: frozenset[str]) -> int:
    return sum(word in markers for word in words)


def _pauses(answer: str) -> int:
    return sum(map(answer.count, (",", ";", "\u2013", "\u2014")))


def _is_cut_off(answer: str) -> bool:
    return not answer.rstrip().endswith(_FINISHED)
