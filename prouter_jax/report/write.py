"""Writing a report in its three forms: report.json, report.md and report.html.

The JSON holds every number for programs, the Markdown fits a terminal or a pull request, and the
page is for anyone with a browser. Unknown numbers are null in the JSON and a dash in the pages.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prouter_jax.io import files
from prouter_jax.io.paths import make_path
from prouter_jax.report import markdown, page
from prouter_jax.report.types import Report


def write_report(report: Report, folder: str | Path) -> None:
    """Writes report.json, report.md and report.html into `folder`, each whole."""
    # All three are built before the first is written: a failure leaves the old report as it was.
    pages = {
        "report.json": to_json(report),
        "report.md": markdown.to_markdown(report),
        "report.html": page.to_html(report),
    }
    encoded = {name: text.encode() for name, text in pages.items()}
    folder = make_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in encoded.items():
        files.write_whole(folder / name, data)


def to_json(report: Report) -> str:
    """Strict JSON: every value exact, NaN and infinity as null; parts that the report lacks are left out."""
    tree = {name: part for name, part in dataclasses.asdict(report).items() if part is not None}
    tree["facts"] = {"reward name": report.reward_name} | tree["facts"]
    del tree["reward_name"]
    return json.dumps(plain(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def plain(value):
    """A tree for strict JSON: Python's own types in place of numpy's, None in place of NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
