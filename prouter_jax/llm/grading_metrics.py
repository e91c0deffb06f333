"""Grading metrics by name: the quality of an answer in [0, 1], compared with the reference answers."""

import collections
import decimal
import difflib
import importlib
import math
import re
import string
from collections.abc import Callable, Sequence

from prouter_jax.data.thoughts import strip_thoughts
from prouter_jax.llm.math_metric import math_boxed

Metric = Callable[[str, list[str], list[str]], float]
JUDGE = "judge"

# ---- metrics by name


def find_metric(name: str, allow_code: bool = False) -> Metric:
    """The metric of a name, as a function of an answer, its references and its choices.

    With several references the highest grade counts. Thoughts before the answer are stripped.

    Args:
      name: one of `NAMES` except `JUDGE`, a name of `PUBLISHED`, or MODULE:FUNCTION for the user's own function, which
        is called with the answer and the reference, or a list of references if there are several.
      allow_code: whether MODULE:FUNCTION may be imported. Only for names that the user typed; a name that comes from a
        data file must never run code.

    Raises:
      ValueError: if there is no such metric, or a library is missing.
    """
    if ":" in name and not allow_code:
        raise ValueError(
            f"expected a metric ({', '.join(NAMES)}), found {name!r}; a function of your own is named by --metric alone"
        )
    metric = _import_metric(name) if ":" in name else _named_metric(current_name(name))
    return lambda answer, references, choices: metric(strip_thoughts(answer), references, choices)


def current_name(name: str) -> str:
    """The name here of a metric that a published set names; other names stay as they are."""
    return PUBLISHED.get(name, PUBLISHED.get(name.lower(), name))


def _named_metric(name: str) -> Metric:
    if name == "multiple_choice":
        return lambda answer, references, choices: max(multiple_choice(answer, text, choices) for text in references)
    if name == "rouge_l":
        return _best_of(make_rouge_l())
    if name in UNAVAILABLE:
        raise ValueError(f"expected a metric ({', '.join(NAMES)}), found {name!r}, which {UNAVAILABLE[name]}")
    if name not in _METRICS:
        near = difflib.get_close_matches(name, (*NAMES, *PUBLISHED), 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"expected a metric ({', '.join(NAMES)} or MODULE:FUNCTION), found {name!r}{hint}")
    return _best_of(_METRICS[name])


def _best_of(metric: Callable[[str, str], float]) -> Metric:
    def grade(answer: str, references: list[str], choices: Sequence[str]) -> float:
        del choices
        return max(metric(answer, reference) for reference in references)

    return grade


def _import_metric(name: str) -> Metric:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # the user's module may raise anything
        found = f"{type(error).__name__}: {error}"
        raise ValueError(f"metric {name}: expected a Python function to import, found {found}") from None

    def grade(answer: str, references: list[str], choices: Sequence[str]) -> float:
        del choices
        try:
            value = function(answer, references[0] if len(references) == 1 else references)
            value = float(value)
        except Exception as error:  # the user's function may raise anything
            raise ValueError(f"expected a number in [0, 1], found {type(error).__name__}: {error}") from None
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f"expected a number in [0, 1], found {value}")
        return value

    return grade


# ---- short answers: token F1 and exact match of SQuAD v1.1 (Rajpurkar et al. 2016, arXiv 1606.05250)

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def token_f1(answer: str, reference: str) -> float:
    """F1 = 2 p r / (p + r), with p and r the shares of the answer's and of the reference's words that both have.

    Words are counted with multiplicity after `normalize`. It is 0 if no word is shared, even for two empty texts.
    """
    answer_words, reference_words = normalize(answer).split(), normalize(reference).split()
    shared = (collections.Counter(answer_words) & collections.Counter(reference_words)).total()
    return 2 * shared / (len(answer_words) + len(reference_words)) if shared else 0.0


def exact_match(answer: str, reference: str) -> float:
    """1 if both texts are equal after `normalize`, else 0."""
    return float(normalize(answer) == normalize(reference))


def normalize(text: str) -> str:
    """SQuAD's normal form: lower case, no ASCII punctuation, no articles, single spaces."""
    return " ".join(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())


def contains(answer: str, reference: str) -> float:
    """1 if the answer contains the reference, both after `normalize`, else 0: "cem" of LLMRouter."""
    return float(normalize(reference) in normalize(answer))


# ---- the number at the end of an answer, as in GSM8K (Cobbe et al. 2021, arXiv 2110.14168)

# a minus sign belongs to the number unless a minuend stands before it
_NUMBER = r"(?:(?<![\w.)])-)?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\d.])\.\d+)"
_MARKED_NUMBER = re.compile(rf"####\s*\$?({_NUMBER})")
_ANY_NUMBER = re.compile(_NUMBER)
_MINUS = str.maketrans(dict.fromkeys("\u2212\u2010\u2011\u2013\ufe63\uff0d", "-"))
# what LaTeX and typesetters put between thousands: {,} and \, and \! and thin or unbreakable spaces
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|\\,|,?\\!,?|[\u00a0\u2009\u202f])(?=\d{3}(?!\d))")
_MINUS_DOLLAR = re.compile(r"(?<![\w.)])-\s?\\?\$\s?(?=[\d.])")


def number_at_end(answer: str, reference: str) -> float:
    """1 if both texts end in the same number, else 0: the last number after "####", or else the last number.

    Thousands separators and trailing zeros are ignored: 1,200.0 equals 1200, and so does LaTeX's 1{,}200. Every kind of
    minus sign counts.

    Raises:
      ValueError: if the reference has no number.
    """
    expected = _last_number(reference)
    if expected is None:
        raise ValueError(f"expected a number in the reference, found {reference[:80]!r}")
    return float(_last_number(answer) == expected)


def _last_number(text: str) -> decimal.Decimal | None:
    text = _MINUS_DOLLAR.sub("-", _THOUSANDS.sub(",", text.translate(_MINUS)))
    numbers = _MARKED_NUMBER.findall(text) or _ANY_NUMBER.findall(text)
    return decimal.Decimal(numbers[-1].replace(",", "")) if numbers else None


# ---- multiple choice: the letter that an answer picks

_LETTERS = "ABCDEFGHIJ"
# around a letter: brackets, Markdown stars, LaTeX boxes
_OPEN = r"(?:[\s(\[{*_$:]|\\boxed|\\text|\\mathrm)*"
_CLOSE = r"(?=[\s)\]}*_$.,:;!?]|$)"
_STATED_LETTER = re.compile(
    rf"\b(?:answer|option|choice)\b(?:\s+(?:is|would be|should be)\b|\s*[:=-])?(?:\s+(?:option|choice)\b)?"
    rf"{_OPEN}(?:(?-i:([A-J])){_CLOSE}|([a-j])(?=[)\]}}*.]|\s*$))",
    re.IGNORECASE,
)
# a single capital; A and I are words as well, so they need a bracket or mark, or the end of a line
_BARE_LETTER = re.compile(r"(?<![\w'])(?:([B-HJ])(?![\w'])|([AI])(?=[)\]}*:]|\.?\s*$))", re.MULTILINE)


def multiple_choice(answer: str, reference: str, choices: Sequence[str] = ()) -> float:
    """1 if the answer picks the correct letter, else 0; see `find_letter`.

    Args:
      reference: a letter from A to J, or the text of a choice.
      choices: their texts, A first.

    Raises:
      ValueError: if the reference is neither a letter nor the text of a choice.
    """
    return float(find_letter(answer, choices) == _correct_letter(reference, choices))


def find_letter(answer: str, choices: Sequence[str] = ()) -> str | None:
    """The letter that an answer picks, None if it picks none.

    It is the last letter that the answer states ("the answer is (B)", "Option B"), or else the last capital that stands
    alone, or else the letter of the only choice whose text the answer repeats.
    """
    possible = _LETTERS[: len(choices) or None]
    for pattern in (_STATED_LETTER, _BARE_LETTER):
        letters = [(first or second).upper() for first, second in pattern.findall(answer)]
        letters = [letter for letter in letters if letter in possible]
        if letters:
            return letters[-1]
    text = f" {normalize(answer)} "
    repeated = [letter for letter, choice in zip(_LETTERS, choices, strict=False) if f" {normalize(choice)} " in text]
    return repeated[0] if len(repeated) == 1 else None


def _correct_letter(reference: str, choices: Sequence[str]) -> str:
    possible = _LETTERS[: len(choices) or None]
    letter = reference.strip().strip("().").upper()
    if len(letter) == 1 and letter in possible:
        return letter
    texts = [text.strip() for text in choices]
    if texts.count(reference.strip()) == 1:
        return _LETTERS[texts.index(reference.strip())]
    expected = f"a letter from A to {possible[-1]}{' or the text of one of the choices' if choices else ''}"
    raise ValueError(f"expected {expected} as the reference, found {reference[:80]!r}")


# ---- long answers


def make_rouge_l() -> Callable[[str, str], float]:
    """F-measure of the longest common subsequence of words: rougeL of rouge-score, no stemming (Lin 2004, W04-1013).

    Raises:
      ValueError: if the library is missing.
    """
    try:
        from rouge_score import rouge_scorer
    except ImportError:
        raise ValueError("metric rouge_l: needs pip install 'prouter-jax[grading]' first") from None
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    return lambda answer, reference: float(scorer.score(reference, answer)["rougeL"].fmeasure)


_METRICS = {
    "token_f1": token_f1,
    "exact_match": exact_match,
    "contains": contains,
    "number_at_end": number_at_end,
    "math_boxed": math_boxed,
}
NAMES = (*_METRICS, "multiple_choice", "rouge_l", JUDGE)
PUBLISHED = {  # by name in LLMRouter, RouteProfile, xRouteBench and PersonaRoute-Bench
    "f1_score": "token_f1",
    "f1": "token_f1",
    "em": "exact_match",
    "cem": "contains",
    "em_mc": "multiple_choice",
    "gsm8k": "number_at_end",
    "math": "math_boxed",
    "rouge-l": "rouge_l",
    "rougel": "rouge_l",
}
UNAVAILABLE = {  # metrics of the same sets that need what this project does not do
    "code_eval": "runs the answer's code",
    "pass@1": "runs the answer's code",
    "bert_score": "needs a BERT model",
}
