"""Nine style scores of an answer (warmth, play, steps ...), from counts of words and marks.

Rates are counts per word, with 20 added to the number of words, so that a short answer with one mark does not win.

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

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from prouter_jax.llm.judges.base import STYLES

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NUMBERED = re.compile(r"^\s*(?:\*\*)?(?:step\s+)?\d+[.):]", re.MULTILINE | re.IGNORECASE)
_LISTED = re.compile(r"^\s*[-*•]\s", re.MULTILINE)
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)|\n\s*\n")
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_FINISHED = tuple(".!?:)]}\"'`*|>\u201d\u2019")
_PADDING = 20
_IDEAL_LOG_LENGTH = math.log(120 + _PADDING)


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
    """The nine scores of each answer, in the order of `STYLES`; finite for any text.

    Args:
      queries: the query of each answer.
      answers: texts.
    """
    rows = [_score(query, answer) for query, answer in zip(queries, answers, strict=True)]
    return np.array(rows, np.float32).reshape(-1, len(STYLES))


def _score(query: str, answer: str) -> tuple[float, ...]:
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
