"""Style features of an answer, computed from its text: length, structure, warmth, hedging and others.

Counts become log(1 + count), kinds of words log(1 + 100 * count / (words + 20)). Ratios include a few words of average
prose, so that they are stable for short answers. Each value x becomes (x - centre) / width with fixed constants of an
average answer, clipped to [-5, 5].
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from prouter_jax.data.interactions import Interactions
from prouter_jax.data.text_encoders import MOST_CHARACTERS


def _words(kind: str, listed: str) -> dict[str, str]:
    return dict.fromkeys(listed.split(), kind)


# word: its kind
KIND_OF = {
    **_words("first_person", "i i'm i've i'd i'll me my mine myself we we're we've we'll us our ours ourselves"),
    **_words("second_person", "you you're you've you'd you'll your yours yourself yourselves"),
    **_words(
        "warm_words",
        "glad happy delighted wonderful lovely love loved dear kind kindly warm warmly welcome thank thanks grateful "
        "congratulations proud hope hopefully enjoy care caring gentle friend friends friendly sorry heart heartfelt "
        "support supportive encourage encouraging comfort cheer cheers beautiful amazing great awesome understand",
    ),
    **_words(
        "playful_words",
        "fun funny haha hehe joke jokes joking silly giggle laugh whoosh wow whoa oops yay hooray boom ta-da voila "
        "magic magical wizard dragon pirate superhero superpower adventure imagine picture pretend quirky cheeky "
        "mischievous wiggle wacky zany party dance treasure secret sidekick quest spoiler",
    ),
    **_words(
        "hedges",
        "may might maybe perhaps possibly probably likely unlikely seems seem appears appear could generally usually "
        "typically often sometimes somewhat roughly approximately about suggest suggests depends depending presumably",
    ),
    **_words(
        "connectives",
        "because since therefore thus hence so consequently accordingly however although though whereas while "
        "moreover furthermore additionally nevertheless nonetheless otherwise instead unless despite due",
    ),
}
EXAMPLES = ("for example", "for instance", "such as", "e.g.", "imagine that", "say you", "to illustrate")
AFFIRMATIONS = (
    *("sure", "certainly", "of course", "absolutely", "definitely", "yes", "great question", "good question"),
    *("what a great", "what a wonderful", "happy to", "i'd be happy", "i would be happy", "i'd love to", "gladly"),
)
REFUSALS = (
    *("i cannot", "i can't", "i can not", "i am unable", "i'm unable", "i am not able to", "i'm not able to"),
    *(
        "i'm sorry, but",
        "i am sorry, but",
        "as an ai",
        "i won't",
        "i will not",
        "i must decline",
        "i do not have access",
    ),
    *("i don't have access", "i don't have the ability"),
)
OFFERS = (
    *("let me know", "feel free", "hope this helps", "hope that helps", "happy to help", "if you have any", "just ask"),
    *("would you like", "if you need", "if you'd like", "anything else"),
)


_SIZES = ("letters", "words", "sentences", "paragraphs")
_RATIOS = ("words_per_sentence", "letters_per_word", "long_words", "digits", "vocabulary", "query_overlap")
_COUNTS = (
    *("list_items", "numbered_steps", "headings", "bold", "code_blocks", "table_rows"),
    *("exclamation_marks", "question_marks", "emoji"),
)
_RATES = (
    *("first_person", "second_person", "warm_words", "playful_words", "hedges", "connectives"),
    *("examples", "commas", "brackets"),
)
_SIGNS = ("starts_with_affirmation", "refuses", "offers_more")
FEATURES: tuple[str, ...] = (*_SIZES, *_RATIOS, *_COUNTS, *_RATES, *_SIGNS)
"""Names of the style features, in the order of their columns."""


def answer_features(queries: Sequence[str], answers: Sequence[str]) -> Float[np.ndarray, "answers features"]:
    """Style features of answers.

    Args:
      queries: the query of each answer; the share of its words that the answer repeats is a feature.
      answers: texts, Markdown or plain, best in English; of a longer one its first `MOST_CHARACTERS`.

    Returns:
      float32 [answers, FEATURES], finite.

    Raises:
      ValueError: if the numbers of queries and answers differ.
    """
    if len(queries) != len(answers):
        raise ValueError(f"answers: expected one for each of {len(queries)} queries, found {len(answers)}")
    raw, topics = np.zeros((len(answers), len(_RAW)), np.float32), {}
    for row, (query, answer) in enumerate(zip(queries, answers, strict=True)):
        if query not in topics:
            topics[query] = frozenset(word for word in _WORD.findall(_plain(query[:MOST_CHARACTERS])) if len(word) > 3)
        raw[row] = _measure(answer[:MOST_CHARACTERS], topics[query])
    return _standardise(dict(zip(_RAW, raw.T, strict=True)))


def text_style(texts: Sequence[str] | np.ndarray) -> Float[np.ndarray, "texts features"]:
    """The same features of texts without a query, such as queries themselves: float32 [texts, FEATURES]."""
    return answer_features([""] * len(texts), list(texts))


def with_answer_style(data: Interactions) -> Interactions:
    """Adds `Outcomes.style` for answers that have a text and no style yet.

    The rows of answers without text and style are NaN. Data without any text is returned as it is.
    """
    outcomes = data.outcomes
    if outcomes.response is None:
        return data
    style = outcomes.style
    style = np.full((len(outcomes.query), len(FEATURES)), np.nan, np.float32) if style is None else style.copy()
    rows = np.flatnonzero((outcomes.response != "") & np.isnan(style).all(1))
    if not len(rows):
        return data
    queries, answers = data.queries.texts[outcomes.query[rows]], outcomes.response[rows]
    style[rows] = answer_features(queries.tolist(), answers.tolist())
    return data.replace(outcomes=dataclasses.replace(outcomes, style=style))


_RAW = (*_SIZES, "long", "digit", "distinct", "overlap", *_COUNTS, *_RATES, *_SIGNS)
_WORD = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
_SENTENCE_END = re.compile(r"[.!?]+(?=[\s\"')\]*_]|$)")
_NUMBERED = re.compile(r"(?:\*\*)?(?:step )?\d{1,3}[.):]", re.IGNORECASE)
_EMOJI = re.compile("[\u2600-\u27bf\U0001f300-\U0001faff]")
_KINDS = tuple(dict.fromkeys(KIND_OF.values()))
_LONG_WORD = 8
_LIMIT = 5


def _plain(text: str) -> str:
    return text.lower().replace("\u2019", "'")


def _measure(answer: str, topic: frozenset[str]) -> tuple[float, ...]:
    """Raw counts of one answer, in the order of _RAW; `topic` holds the query's words."""
    plain = _plain(answer)
    words = _WORD.findall(plain)
    distinct = set(words)
    kinds = Counter(map(KIND_OF.get, words))
    lines = _measure_lines(answer)
    return (
        *(sum(map(len, words)), len(words), lines.sentences, lines.paragraphs),
        sum([len(word) >= _LONG_WORD for word in words]),
        sum(map(answer.count, "0123456789")),
        len(distinct),
        len(topic & distinct) / len(topic) if topic else 0.0,
        *(lines.items, lines.numbered, lines.headings, answer.count("**") // 2, answer.count("```") / 2),
        *(lines.table_rows, answer.count("!"), answer.count("?")),
        0 if answer.isascii() else len(_EMOJI.findall(answer)),
        *(kinds[kind] for kind in _KINDS),
        sum(map(plain.count, EXAMPLES)),
        *(answer.count(","), answer.count("(")),
        plain.lstrip(" *\"'").startswith(AFFIRMATIONS),
        any(phrase in plain[:300] for phrase in REFUSALS),
        any(phrase in plain[-300:] for phrase in OFFERS),
    )


@dataclasses.dataclass
class _Lines:
    sentences: int = 0
    paragraphs: int = 0
    items: int = 0
    numbered: int = 0
    headings: int = 0
    table_rows: int = 0


def _measure_lines(answer: str) -> _Lines:
    """Counts lines by kind; a line has at least one sentence, a paragraph ends with an empty line."""
    counts, new_paragraph = _Lines(), True
    for raw_line in answer.splitlines():
        line = raw_line.strip()
        if not line:
            new_paragraph = True
            continue
        counts.paragraphs += new_paragraph
        new_paragraph = False
        numbered = _NUMBERED.match(line) is not None
        counts.sentences += max(1, len(_SENTENCE_END.findall(line)) - numbered)
        counts.numbered += numbered
        counts.items += line.startswith(("- ", "* ", "+ ", "• "))
        counts.headings += line.startswith("#") and line.lstrip("#").startswith(" ")
        counts.table_rows += line.startswith("|")
    return counts


def _standardise(raw: dict[str, np.ndarray]) -> np.ndarray:
    """Features [answers, FEATURES] from raw counts, each [answers]."""
    words = raw["words"]
    values = {name: np.log1p(raw[name]) for name in (*_SIZES, *_COUNTS)}
    values |= {name: np.log1p(100 * raw[name] / (words + 20)) for name in _RATES}
    values |= {name: raw[name] for name in _SIGNS}
    values |= {
        "words_per_sentence": np.log((words + 16) / (raw["sentences"] + 1)),
        "letters_per_word": (raw["letters"] + 20 * 4.7) / (words + 20),
        "long_words": (raw["long"] + 20 * 0.2) / (words + 20),
        "digits": raw["digit"] / (raw["letters"] + raw["digit"] + 100),
        # Herdan's C: unlike the share of distinct words it hardly depends on length
        "vocabulary": np.log(raw["distinct"] + 20 * 0.75) / np.log(words + 20),
        "query_overlap": raw["overlap"],
    }
    centre, width = np.array([_SCALES.get(name, (0, 1)) for name in FEATURES]).T
    scaled = (np.stack([values[name] for name in FEATURES], 1) - centre) / width
    return np.clip(scaled, -_LIMIT, _LIMIT).astype(np.float32)


# Centre and width of each feature for an average answer: a few paragraphs of plain English prose.
_SCALES = {
    "letters": (6.5, 1.0),
    "words": (5.0, 1.0),
    "sentences": (2.3, 0.8),
    "paragraphs": (1.5, 0.8),
    "words_per_sentence": (2.8, 0.4),
    "letters_per_word": (4.7, 0.5),
    "long_words": (0.2, 0.08),
    "digits": (0.0, 0.05),
    "vocabulary": (0.9, 0.05),
    "query_overlap": (0.5, 0.3),
    "commas": (1.5, 0.7),
}
