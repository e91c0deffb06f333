"""Metrics by name: how good an answer is, from 0 to 1, beside what would be right."""

import importlib
import math
from collections.abc import Callable, Sequence

from prouter_jax.grading.choices import multiple_choice
from prouter_jax.grading.numbers import number_at_end
from prouter_jax.grading.rouge import make_rouge_l
from prouter_jax.grading.squad import exact_match, token_f1

Metric = Callable[[str, list[str], list[str]], float]
JUDGE = "judge"
_PLAIN = {"token_f1": token_f1, "exact_match": exact_match, "number_at_end": number_at_end}
NAMES = (*_PLAIN, "multiple_choice", "rouge_l", JUDGE)


def find_metric(name: str, allow_code: bool = False) -> Metric:
    """The grade of an answer, given the references (the best of several counts) and the choices.

    Args:
      name: of `NAMES` all but `JUDGE`, or MODULE:FUNCTION for a function of one's own, which is called with the
        answer and the reference, a list of texts where there are several.
      allow_code: whether MODULE:FUNCTION may be imported. Only for names that the user typed; a name that comes from a
        data file must never run code.

    Raises:
      ValueError: if there is no such metric, or it needs a library.
    """
    if ":" in name and not allow_code:
        raise ValueError(
            f"expected a metric ({', '.join(NAMES)}), found {name!r}; a function of your own is named by --metric alone"
        )
    if ":" in name:
        return _own(name)
    if name == "multiple_choice":
        return lambda answer, references, choices: max(multiple_choice(answer, text, choices) for text in references)
    if name == "rouge_l":
        return _best(make_rouge_l())
    if name not in _PLAIN:
        raise ValueError(f"expected a metric ({', '.join(NAMES)} or MODULE:FUNCTION), found {name!r}")
    return _best(_PLAIN[name])


def _best(one: Callable[[str, str], float]) -> Metric:
    def grade(answer: str, references: list[str], choices: Sequence[str]) -> float:
        del choices
        return max(one(answer, reference) for reference in references)

    return grade


def _own(name: str) -> Metric:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever the user's module does
        found = f"{type(error).__name__}: {error}"
        raise ValueError(f"metric {name}: expected a Python function to import, found {found}") from None

    def grade(answer: str, references: list[str], choices: Sequence[str]) -> float:
        del choices
        try:
            value = function(answer, references[0] if len(references) == 1 else references)
            value = float(value)
        except Exception as error:  # whatever the user's function does
            raise ValueError(f"expected a number in [0, 1], found {type(error).__name__}: {error}") from None
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f"expected a number in [0, 1], found {value}")
        return value

    return grade
