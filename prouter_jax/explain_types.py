"""`Explanation`: why an LLM is picked for a user and a query, as numbers and in words."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class DecisionInfluence:
    """A past decision of the user and what it adds to the choice of now: with all decisions minus without this one.

    Attributes:
      query, said: the text, and in words what the user said of the answers to it.
      probability: added to the probability of the pick.
      log_odds: added to the log-odds of the pick against the runner-up.
    """

    query: str
    said: str
    probability: float
    log_odds: float


@dataclasses.dataclass(frozen=True)
class PropertyInfluence:
    """What the user's weight on a property of answers, against a stranger's, adds to the log-odds of the pick.

    So a user who minds cost less than a stranger has cost speak for a dear pick.

    Attributes:
      weight, stranger: the two weights, NaN for a property of several columns.
    """

    name: str
    log_odds: float
    weight: float
    stranger: float

    def words(self) -> str:
        """The property, and its weights where there are two numbers to tell."""
        if math.isnan(self.weight):
            return self.name
        return f"{self.name} (weight {self.weight:+.2f}, a stranger's {self.stranger:+.2f})"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Why an LLM is picked for a user and a query.

    Attributes:
      llm, runner_up: the pick and the LLM that comes next, with their probabilities.
      decisions: the past decisions that add or take most, by the size of `probability`.
      properties: the same of properties, by the size of `log_odds`; empty where users are not weights on properties.
      decided, tried: how many decisions the user has made, and how many of them were left out in turn.
      newest: whether those are the newest; else they are spread evenly over the user's decisions.
    """

    user_id: str
    query: str
    llm: str
    probability: float
    runner_up: str
    runner_up_probability: float
    decisions: list[DecisionInfluence]
    properties: list[PropertyInfluence]
    decided: int
    tried: int
    newest: bool

    def summary(self) -> str:
        """The choice in one sentence."""
        next_best = f"{self.runner_up} comes next with {self.runner_up_probability:.3f}"
        return f"{self.llm} is picked with probability {self.probability:.3f}; {next_best}."

    def basis(self) -> str:
        """In one sentence, how many decisions the numbers rest on."""
        if not self.decided:
            return "The user has no past decisions: this is the choice for anybody."
        if self.tried == self.decided:
            return f"Each of the user's {self.decided} past decisions was left out in turn."
        which = "the newest" if self.newest else "spread evenly over them"
        return f"Of the user's {self.decided} past decisions {self.tried}, {which}, were left out in turn."

    def to_text(self) -> str:
        """The whole explanation for a terminal."""
        lines = [f"{self.user_id} asks: {_short(self.query)}", self.summary(), self.basis()]
        if self.decisions:
            lines += ["", "probability   log-odds   past decision"]
            lines += [
                f"{row.probability:+11.4f} {row.log_odds:+10.3f}   {row.said}: {_short(row.query)}"
                for row in self.decisions
            ]
        if self.properties:
            lines += ["", "              log-odds   what the user weighs otherwise than a stranger"]
            lines += [f"{row.log_odds:+22.3f}   {row.words()}" for row in self.properties]
        return "\n".join(lines)


def _short(text: str, most: int = 80) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
