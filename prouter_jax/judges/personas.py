"""Who judges are asked to be: the nine people of the paper in our own words, and mixtures of them."""

import dataclasses

import numpy as np

STYLES = (
    *("warmth", "play", "steps", "brevity", "explanation", "relevance", "completeness", "eloquence", "simplicity"),
)
WISHES = {
    "warmth": "be spoken to as a good friend would: kindly, with understanding, close to everyday life",
    "play": "smile while you read: a light tone, jokes, playful turns, pictures nobody expects",
    "steps": "be led by the hand: ordered steps, one after the other, each saying what to do",
    "brevity": "have the bottom line at once: few words, hard facts, figures wherever there are any",
    "explanation": "understand: reasons, background and examples, however long that takes",
    "relevance": "get exactly what you asked for, in exact words, and nothing beside it",
    "completeness": "find every part of your question answered, and no sentence that could be left out",
    "eloquence": "enjoy the language: a rich vocabulary, well-built sentences, rhythm and images",
    "simplicity": "follow as easily as a child could: short plain words and vivid comparisons",
}
_PURE_QUALITY = 0.4
_MIXTURE = 0.5  # below 1: few styles carry most of a mixture
_NAMED_TRAITS = 3
_LEAST_NAMED = 0.1
_LEVELS = ("hardly at all", "a little", "a good deal", "very much")


@dataclasses.dataclass(frozen=True)
class Persona:
    """One person.

    Attributes:
      name: also the id of the user; seeds what is random in this person's verdicts.
      styles: weight of each of `STYLES`, not negative, adding up to 1.
      quality: in [0, 1], how much it matters that an answer is good, whatever its style.
      cost: in [0, 1], how much it matters that an answer is cheap.
    """

    name: str
    styles: tuple[float, ...]
    quality: float
    cost: float

    def prompt(self) -> str:
        """The person in words: one wish, or the two or three strongest with their shares; then quality and cost."""
        return " ".join([self._wish(), *self._weights()])

    def _wish(self) -> str:
        order = sorted(range(len(STYLES)), key=lambda style: -self.styles[style])
        strong = [style for style in order if self.styles[style] >= _LEAST_NAMED][:_NAMED_TRAITS]
        strong = order[:2] if len(strong) < 2 and self.styles[order[0]] < 1 else strong
        if len(strong) == 1:
            return f"Above all you want to {WISHES[STYLES[strong[0]]]}."
        total = sum(self.styles[style] for style in strong)
        wishes = [f"({self.styles[style] / total:.0%}) to {WISHES[STYLES[style]]}" for style in strong]
        return f"You want, by how much each matters to you: {'; '.join(wishes)}."

    def _weights(self) -> list[str]:
        told = [f"That an answer is right and helpful matters to you {_level(self.quality)}."]
        if self.cost:
            told.append(f"Each answer comes with its price; that it is cheap matters to you {_level(self.cost)}.")
        return told


def make_personas(num_users: int, seed: int) -> list[Persona]:
    """People judge0000, judge0001 ...: the first nine want one style each, the others seeded mixtures of all nine.

    Mixtures: styles from a symmetric Dirichlet distribution with parameter 0.5, quality uniform in [0, 1],
    cost the square of such a number (most people mind it little). The nine ask for quality 0.4 and ignore cost.
    A person is the same whatever `num_users` is.
    """
    return [_make_persona(row, np.random.default_rng([seed, row])) for row in range(num_users)]


def _make_persona(row: int, rng: np.random.Generator) -> Persona:
    name = f"judge{row:04d}"
    if row < len(STYLES):
        return Persona(name, tuple(float(style == row) for style in range(len(STYLES))), _PURE_QUALITY, 0.0)
    styles = tuple(rng.dirichlet(np.full(len(STYLES), _MIXTURE)).tolist())
    quality, cost = rng.random(), rng.random() ** 2
    return Persona(name, styles, quality, cost)


def _level(weight: float) -> str:
    return _LEVELS[min(int(weight * len(_LEVELS)), len(_LEVELS) - 1)]
