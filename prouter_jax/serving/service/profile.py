"""A user's profile: what it said of each model, as counts with their certainty, and in words."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prouter_jax.serving.live_feedback import LiveFeedback
from prouter_jax.serving.service.arrange import Settings

_Z = 1.96  # of a 95 % interval
_MOST_PROPERTIES, _PROPERTIES_IN_WORDS = 10, 3
_FEWEST_TO_JUDGE = 3  # judgements of a model before words are made of them


def model_profiles(said: Iterable[LiveFeedback]) -> list[dict[str, Any]]:
    """What a user said of each model, those most liked first; the columns of `answers.ModelProfile`."""
    liked, judged, ratings = collections.defaultdict(float), collections.Counter(), collections.defaultdict(list)
    for one in said:
        if one.kind == "rating":
            ratings[one.llm].append(one.value)
            continue
        on_offer = (one.llm,) if one.kind == "thumb" else one.candidates or (one.llm,)
        judged.update(on_offer)
        if one.kind == "thumb":
            liked[one.llm] += one.value or 0
        elif one.llm:
            liked[one.llm] += 1
        else:
            for model in on_offer:
                liked[model] += 1 / len(on_offer)
    models = sorted({*judged, *ratings})
    found = [_profile(model, liked[model], judged[model], ratings[model]) for model in models]
    return sorted(found, key=lambda one: (-(one["low"] or 0), -(one["mean_rating"] or -math.inf), one["model"]))


def property_profiles(weights: Mapping[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """The properties that a user weighs most unlike a new user; the columns of `answers.PropertyProfile`.

    Args:
      weights: the user's weight and a new user's, by the name of the property.
    """
    order = sorted(weights.items(), key=lambda item: -abs(item[1][0] - item[1][1]))
    differ = [(name, mine, new) for name, (mine, new) in order[:_MOST_PROPERTIES] if mine != new]
    return [{"name": name, "weight": mine, "new_user_weight": new} for name, mine, new in differ]


def summarise(
    profiles: Sequence[dict[str, Any]], properties: Sequence[dict[str, Any]], settings: Settings
) -> list[str]:
    """The profile in sentences."""
    sentences = [f"Always uses {settings.pin} where it is on offer."] if settings.pin else []
    sentences += [f"Never uses {', '.join(settings.ban)}."] if settings.ban else []
    for name, weight in settings.weights.items():
        sentences.append(f"Wants {name.removeprefix('style: ')} to be weighed by {weight:+.2f}.")
    for one in profiles:
        if one["judged"] >= _FEWEST_TO_JUDGE:
            sentences.append(
                f"Liked {one['model']} in {one['liked']:g} of {one['judged']} cases "
                f"({one['low']:.0%} to {one['high']:.0%} with 95 % certainty)."
            )
        if one["ratings"]:
            sentences.append(f"Rated {one['model']} {one['mean_rating']:.3g} in the mean of {one['ratings']}.")
    for one in properties[:_PROPERTIES_IN_WORDS]:
        mine, new = f"{one['weight']:+.2f}", f"{one['new_user_weight']:+.2f}"
        sentences.append(f"Weighs {one['name'].removeprefix('style: ')} by {mine}, a new user by {new}.")
    return sentences or ["Has said too little for a profile."]


def wilson(liked: float, judged: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    share, square = liked / judged, _Z**2 / judged
    half = _Z * math.sqrt(share * (1 - share) / judged + square / (4 * judged))
    return max(0.0, (share + square / 2 - half) / (1 + square)), min(1.0, (share + square / 2 + half) / (1 + square))


def _profile(model: str, liked: float, judged: int, ratings: list[float]) -> dict[str, Any]:
    low, high = wilson(liked, judged) if judged else (None, None)
    return {
        "model": model,
        "liked": liked,
        "judged": judged,
        "share": liked / judged if judged else None,
        "low": low,
        "high": high,
        "ratings": len(ratings),
        "mean_rating": sum(ratings) / len(ratings) if ratings else None,
    }
