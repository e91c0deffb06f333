"""The answers of the embedded benchmark as texts: short, on the query's topic, in the style of the LLM that wrote them.

Only their style is to be read: they are not right or wrong, and not as long as the tokens that are paid for.
"""

import numpy as np

from prouter_jax.embedded_text import STYLES
from prouter_jax.embedded_topics import TOPICS

_SHARPNESS = 4.0
_LONG_QUERY = 150


def answer_texts(
    texts: list[str], topic: np.ndarray, style: np.ndarray, query: np.ndarray, llm: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """One answer for each pair of a query and an LLM, object array of str [pairs].

    An LLM's answer shows each of its traits more often the stronger the trait is; long queries get longer answers.

    Args:
      texts: of the queries.
      topic: [queries], row of TOPICS.
      style: [llms, STYLES] in [-1, 1].
      query, llm: int [pairs], rows of the above.
    """
    inclined = 1 / (1 + np.exp(-_SHARPNESS * style))
    warm, brief, steps, playful, detailed = (rng.random((len(llm), len(STYLES))) < inclined[llm]).T
    demanding = np.array([len(text) > _LONG_QUERY for text in texts])[query]
    count = np.where(brief, 1, 3) + demanding + 2 * detailed
    start, phrase = rng.integers(_NUM_SENTENCES, size=len(llm)), rng.integers(_NUM_PHRASES, size=len(llm))
    columns = (topic[query], start, count, phrase, warm, steps, playful, detailed)
    written = np.empty(len(llm), object)
    written[:] = [_answer(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
    return written


def _answer(
    topic: int, start: int, count: int, phrase: int, warm: bool, steps: bool, playful: bool, detailed: bool
) -> str:
    """The sentences `start` and on about a topic, with what the traits add before, between and after."""
    sentences = _SENTENCES[topic][start : start + count]
    body = "\n".join([f"{n}. {text}" for n, text in enumerate(sentences, 1)]) if steps else " ".join(sentences)
    opener = _WARM_OPENERS[phrase] if warm else ""
    joke = _JOKES[phrase] if playful else ""
    detail = _DETAILS[phrase] if detailed else ""
    return f"{opener}{body}{joke}{detail}{_WARM_CLOSERS[phrase] if warm else ''}"


def _about(topic: int) -> list[str]:
    """Sentences about a topic, twice over, so that a slice from anywhere in the first round is long enough."""
    things, terms = TOPICS[topic].things.split("|"), TOPICS[topic].terms.split("|")
    rounds = range(_NUM_SENTENCES)
    once = [
        _TEMPLATES[row % len(_TEMPLATES)].format(thing=things[row % len(things)], term=terms[row % len(terms)])
        for row in rounds
    ]
    return once * 2


_NUM_SENTENCES = 24
_TEMPLATES = (
    "Start from the {thing} and write down what is known.",
    "The {term} decides most of it.",
    "Keep the question of the {thing} apart from the rest.",
    "What matters next is the {term}, taken on its own.",
    "Compare the result with the {thing} as it was given.",
    "Nothing else depends on the {term}.",
    "With the {thing} settled, the answer follows.",
)
_WARM_OPENERS = (
    "What a lovely question, thank you for asking! ",
    "I am so glad you asked, and I hope you enjoy this. ",
    "You are doing great, and I am happy to help you. ",
    "Thank you for your kind message! ",
)
_WARM_CLOSERS = (
    " I hope this helps you!",
    " You can do this, and I wish you all the best!",
    " Let me know if you need anything else, dear friend.",
    " Take care of yourself!",
)
_JOKES = (
    " Imagine a dragon doing this on a trampoline: whoosh! 🐉",
    " Ta-da, magic! Well, almost: the wizard is on holiday.",
    " No pirates were harmed in this adventure, haha! 🎉",
    " It is like a party where every guest brings the same funny hat.",
)
_DETAILS = (
    " For example, the usual case takes about 12 minutes, because each part is looked at twice (before and after).",
    " To be complete: there are 3 exceptions, namely the first, the last and the empty one, which behave differently.",
    " However, in roughly 15 percent of the cases the order matters, since earlier parts change the later ones.",
    " In addition, note the following: the limits are 2 and 40, and values between them, such as 20, are typical.",
)
_NUM_PHRASES = len(_JOKES)
_SENTENCES = [_about(topic) for topic in range(len(TOPICS))]
