"""The words of the embedded benchmark: query texts made from templates, tasks, and LLMs described.

A text tells its topic by its nouns and its difficulty by how it is asked: easy queries are one short
everyday sentence; hard ones use technical terms, long numbers and up to five further demands.
"""

import random
from collections.abc import Sequence

import numpy as np

from prouter_jax.embedded_topics import REGISTERS, TOPICS

MOST_DEMANDS = 5


def task_kinds(count: int) -> list[tuple[int, int]]:
    """The first `count` pairs (topic row, register row): all topics plainly, then topic x register."""
    return [(kind % len(TOPICS), kind // len(TOPICS)) for kind in range(count)]


def task_name(topic: int, register: int) -> str:
    """The name of a task, such as "coding help for beginners"; unique."""
    return f"{TOPICS[topic].name} {REGISTERS[register][0]}".strip()


def task_description(topic: int, register: int) -> str:
    """One sentence, or two where the register adds something."""
    return f"{TOPICS[topic].description} {REGISTERS[register][1]}".strip()


def query_texts(kinds: Sequence[tuple[int, int]], difficulty: Sequence[float], seed: int) -> list[str]:
    """Distinct texts, one for each query.

    Args:
      kinds: (topic, register) of each query.
      difficulty: in [0, 1], of each query.
      seed: of the slots.
    """
    draw = random.Random(seed)
    texts: dict[str, None] = {}
    for kind, hardness in zip(kinds, difficulty, strict=True):
        text = _text(*kind, hardness, draw)
        for _ in range(5):
            if text not in texts:
                break
            text = _text(*kind, hardness, draw)
        # Millions of queries exhaust the short templates: then people number their questions.
        texts[text if text not in texts else f"Question {len(texts) + 1}: {text}"] = None
    return list(texts)


def family_name(family: int) -> str:
    """A name for a row of the families; unique."""
    again, row = divmod(family, len(_FAMILIES))
    return f"{_FAMILIES[row]}{again + 1 if again else ''}"


def llm_description(family: str, skill: float, topic_skill: np.ndarray, style: np.ndarray, output_price: float) -> str:
    """What a provider would say of its LLM, in plain words.

    Args:
      skill: general skill, about 0.25 to 0.95.
      topic_skill: [topics], strong or weak where it differs from the general skill.
      style: [STYLES] in [-1, 1]; weak traits go without saying.
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


# What answers are like, with more and with less of each trait: warmth, brevity, steps, playfulness, detail.
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
