"""Texts of the embedded benchmark: queries from templates, tasks, descriptions of LLMs, answers.

The nouns of a query show its topic. An easy query is one short everyday sentence; a hard one has technical terms, long
numbers and up to five further demands.
"""

import random
from collections.abc import Sequence

import numpy as np

from prouter_jax.data.synthetic.topics import REGISTERS, TOPICS

MOST_DEMANDS = 5


def task_kinds(count: int) -> list[tuple[int, int]]:
    """The first `count` pairs (topic, register), rows of `TOPICS` and `REGISTERS`: first all topics with register 0."""
    return [(kind % len(TOPICS), kind // len(TOPICS)) for kind in range(count)]


def task_name(topic: int, register: int) -> str:
    """The name of a task, such as "coding help for beginners"; unique."""
    return f"{TOPICS[topic].name} {REGISTERS[register][0]}".strip()


def task_description(topic: int, register: int) -> str:
    """The description of a task: one or two sentences."""
    return f"{TOPICS[topic].description} {REGISTERS[register][1]}".strip()


def query_texts(kinds: Sequence[tuple[int, int]], difficulty: Sequence[float], seed: int) -> list[str]:
    """Distinct texts, one for each query.

    Args:
      kinds: (topic, register) of each query.
      difficulty: in [0, 1], of each query.
    """
    draw = random.Random(seed)
    texts: dict[str, None] = {}
    for kind, hardness in zip(kinds, difficulty, strict=True):
        text = _text(*kind, hardness, draw)
        for _ in range(5):
            if text not in texts:
                break
            text = _text(*kind, hardness, draw)
        # Millions of queries exhaust the short templates; further ones are numbered.
        texts[text if text not in texts else f"Question {len(texts) + 1}: {text}"] = None
    return list(texts)


def family_name(family: int) -> str:
    """The name of a family by its number; unique."""
    again, row = divmod(family, len(_FAMILIES))
    return f"{_FAMILIES[row]}{again + 1 if again else ''}"


def llm_description(family: str, skill: float, topic_skill: np.ndarray, style: np.ndarray, output_price: float) -> str:
    """A provider's description of an LLM.

    Args:
      skill: general skill, about 0.25 to 0.95.
      topic_skill: [topics], strong or weak where it differs from the general skill.
      style: [STYLES] in [-1, 1]; weak traits are not mentioned.
      output_price: USD per million tokens.
    """
    order = np.argsort(skill - topic_skill)
    strong = [TOPICS[topic].name for topic in order[:3] if topic_skill[topic] > skill + 0.08]
    weak = [TOPICS[topic].name for topic in order[::-1][:2] if topic_skill[topic] < skill - 0.08]
    manner = [STYLES[row][int(style[row] < 0)] for row in np.argsort(-np.abs(style)) if abs(style[row]) > 0.3]
    topics = f"strong at {_list(strong)}" if strong else "even over all topics"
    topics += f", weaker at {_list(weak)}" if weak else ""
    size, price = _level(skill, _SIZES), _level(output_price, _PRICES)
    return f"A {size} model of the {family} family: {topics}; answers are {_list(manner) or 'plain'}; {price}."


def _level(value: float, levels: Sequence[tuple[float, str]]) -> str:
    return next(name for limit, name in levels if value < limit)


def _list(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _text(topic: int, register: int, difficulty: float, draw: random.Random) -> str:
    words = _WORDS[topic]
    digits = 10 ** int(4.5 * difficulty)
    slots = {
        "thing": draw.choice(words["things"]),
        "term": draw.choice(words["terms"]),
        "person": draw.choice(_PEOPLE),
        "place": draw.choice(_PLACES),
        "count": draw.randint(3, 40),
        "more": draw.randint(3, 40),
        "number": draw.randint(2, 9) * digits + draw.randint(0, digits),
    }
    question = draw.choice(words["hard"] if difficulty > 0.5 else words["easy"])
    demands = draw.sample(words["demands"], round(MOST_DEMANDS * difficulty))
    sentences = [question, *demands, draw.choice(REGISTERS[register][2])]
    return draw.choice(_OPENERS) + " ".join(filter(None, sentences)).format(**slots) + draw.choice(_CLOSERS)


def _split(items: str) -> list[str]:
    return items.split("|")


# Style traits (warmth, brevity, steps, playfulness, detail): phrases for a high and a low value.
STYLES = (
    ("warm and encouraging", "cool and matter-of-fact"),
    ("in short sentences", "in flowing prose"),
    ("step by step", "straight to the result"),
    ("playful", "serious"),
    ("rich in detail", "sparing with detail"),
)
_SIZES = ((0.4, "small"), (0.6, "mid-sized"), (0.8, "large"), (np.inf, "very large"))
_PRICES = (
    (0.4, "very cheap"),
    (1.5, "cheap"),
    (6.0, "moderately priced"),
    (15.0, "expensive"),
    (np.inf, "very expensive"),
)
_FAMILIES = _split(
    "alder|birch|cedar|dogwood|elm|fir|ginkgo|hazel|ironwood|juniper|kauri|larch|maple|nutmeg|oak|pine|quince|rowan|"
    "spruce|teak|upas|viburnum|willow|yew|zelkova"
)
_OPENERS = ("", "", "", "", "Hi! ", "Hello. ", "Quick question. ", "Please help. ", "Hey there! ", "I need a hand. ")
_CLOSERS = ("", "", "", "", " Thanks!", " Thank you.", " Cheers.", " Many thanks in advance.")
_PEOPLE = _split(
    "Amira|Ben|Chloe|Dario|Elena|Farid|Grace|Hugo|Ines|Jonas|Kavya|Liam|Mei|Nadia|Oscar|Priya|Quentin|Rosa|"
    "Samir|Tess|Uma|Viktor|Wanda|Xavier|Yuki|Zoe|Anton|Bianca|Cem|Dora|Emeka|Freya|Goran|Hana|Igor|Jamila"
)
_PLACES = _split(
    "Lisbon|Toronto|Nairobi|Osaka|Krakow|Lima|Dublin|Jaipur|Bergen|Tbilisi|Marseille|Denver|Hanoi|Porto|Ghent|"
    "Adelaide|Valencia|Montreal|Accra|Leeds|Basel|Quito|Tallinn|Palermo|Austin|Busan|Izmir|Tampere|Cork|Bilbao"
)
_WORDS = [
    {field: _split(getattr(topic, field)) for field in ("things", "terms", "easy", "hard", "demands")}
    for topic in TOPICS
]


_SHARPNESS = 4.0
_LONG_QUERY = 150


def answer_texts(
    texts: list[str], topic: np.ndarray, style: np.ndarray, query: np.ndarray, llm: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Answers of LLMs to queries.

    The stronger a trait of an LLM, the more of its answers have it; long queries get longer answers.

    Args:
      topic: [queries], row of TOPICS.
      style: [llms, STYLES] in [-1, 1].
      query, llm: int [pairs], the pairs to write an answer for.

    Returns:
      Texts, an object array of str [pairs].
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
    """`count` sentences about a topic from `start` on, with the phrases of the traits."""
    sentences = _SENTENCES[topic][start : start + count]
    body = "\n".join([f"{n}. {text}" for n, text in enumerate(sentences, 1)]) if steps else " ".join(sentences)
    opener = _WARM_OPENERS[phrase] if warm else ""
    joke = _JOKES[phrase] if playful else ""
    detail = _DETAILS[phrase] if detailed else ""
    return f"{opener}{body}{joke}{detail}{_WARM_CLOSERS[phrase] if warm else ''}"


def _about(topic: int) -> list[str]:
    """Sentences about a topic, repeated once, so that a slice from any start is long enough."""
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
