"""Token F1 and exact match of short answers, as SQuAD v1.1 has them (Rajpurkar et al. 2016, arXiv 1606.05250)."""

import collections
import re
import string

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def token_f1(answer: str, reference: str) -> float:
    """2 p r / (p + r), p and r the shares of the answer's and of the reference's words that both have.

    Words are counted as often as they come, after `normalise`. Nothing in common is 0, also where both are empty.
    """
    said, right = normalise(answer).split(), normalise(reference).split()
    common = (collections.Counter(said) & collections.Counter(right)).total()
    return 2 * common / (len(said) + len(right)) if common else 0.0


def exact_match(answer: str, reference: str) -> float:
    """1 where both are the same after `normalise`, else 0."""
    return float(normalise(answer) == normalise(reference))


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, then without articles, then single spaces."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
