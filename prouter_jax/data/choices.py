"""The options of a multiple-choice question, in the forms in which data sets publish them.

| form | where |
|---|---|
| a list of texts, also as JSON or as a Python list | MMLU, exports |
| {"text": [...], "label": [...]} or "labels", also as the text of a Python dict | ARC, LLMRouter, RouteProfile |
| {"A": "...", "B": "..."} | MedQA and others |

Texts are read by `literals.parse_value`, which runs nothing.
"""

from prouter_jax.data.literals import parse_value

_LETTERS = "ABCDEFGHIJ"


def parse_choices(cell: str | list | dict) -> tuple[list[str], list[str]]:
    """Reads the options of a question.

    Args:
      cell: in one of the forms above.

    Returns:
      Their labels ("A", "B" ... where the cell has none), and their texts, in order.

    Raises:
      ValueError: if it is in none of the forms.
    """
    found = parse_value(cell) if isinstance(cell, str) else cell
    labels, texts = (None, found) if isinstance(found, list) else _columns(found)
    if not isinstance(texts, list) or not texts or len(texts) > len(_LETTERS):
        raise ValueError(f"expected a list of 1 to {len(_LETTERS)} options, found {str(cell)[:80]!r}")
    labels = list(_LETTERS[: len(texts)]) if labels is None else labels
    if not all(isinstance(text, str | int | float) for text in (*texts, *labels)) or len(labels) != len(texts):
        raise ValueError(f"expected a text and a label for each option, found {str(cell)[:80]!r}")
    return [str(label) for label in labels], [str(text) for text in texts]


def letter_of(reference: str, labels: list[str]) -> str:
    """The letter of the option that a reference names by its label; another reference is returned as it is."""
    return _LETTERS[labels.index(reference.strip())] if reference.strip() in labels else reference


def _columns(found) -> tuple[list | None, list | None]:
    """Labels and texts of an object."""
    if not isinstance(found, dict):
        return None, None
    lists = {name: values for name, values in found.items() if isinstance(values, list)}
    for name in ("text", "texts", "choices", "options"):
        if name in lists:
            return lists.get("labels", lists.get("label")), lists[name]
    return (list(found), list(found.values())) if found else (None, None)
