"""Policies and comparisons in words, for every page of a report."""

from prouter_jax.report.types import POLICY_NAMES, PairedDifference

_WITHOUT_ARTICLE = ("each ", "perfect ")


def title_of(policy: str) -> str:
    """A policy in words, as in a table; a name that is not ours as it is."""
    return POLICY_NAMES.get(policy, policy)


def named(policy: str) -> str:
    """A policy in words, as in a sentence: "the best single LLM", "each user's best LLM"."""
    words = title_of(policy)
    if words.startswith(_WITHOUT_ARTICLE) or words == policy:
        return words
    return f"an {words}" if words.startswith("LLM at") else f"the {words}"


def relation(row: PairedDifference) -> str:
    """What a difference of the router to another policy means, to be followed by the other policy."""
    if is_significant(row):
        return "better than" if row.low > 0 else "worse than"
    if row.low == row.high == 0:
        return "the same as"
    return "level with" if row.low <= 0 <= row.high else "not yet comparable with"


def is_significant(row: PairedDifference) -> bool:
    """Whether the 95 % interval excludes zero."""
    return row.low > 0 or row.high < 0


def sample_text(row: PairedDifference) -> str:
    """`3 seeds`, `1 seed`, `1200 test queries`."""
    singular = {"seeds": "seed", "users": "user", "test queries": "test query"}.get(row.over, row.over)
    return f"{row.n} {singular if row.n == 1 else row.over}"
