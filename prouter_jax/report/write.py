"""Writes a report as report.json (every number), report.md (for a terminal or a pull request) and report.html."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prouter_jax.io import files
from prouter_jax.io.paths import make_path
from prouter_jax.report import html, text
from prouter_jax.report.types import Report


def write_report(report: Report, folder: str | Path) -> None:
    """Writes report.json, report.md and report.html into `folder`; each file is replaced atomically."""
    # All three are built before the first is written: a failure leaves the old report as it was.
    contents = {
        "report.json": to_json(report),
        "report.md": text.to_markdown(report),
        "report.html": html.to_html(report),
    }
    encoded = {name: content.encode() for name, content in contents.items()}
    folder = make_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in encoded.items():
        files.write_whole(folder / name, data)


def to_json(report: Report) -> str:
    """Strict JSON: exact values, null for NaN and infinity, without the optional parts that are None."""
    tree = {name: part for name, part in dataclasses.asdict(report).items() if part is not None}
    tree["facts"] = {"reward name": report.reward_name} | tree["facts"]
    del tree["reward_name"]
    return json.dumps(jsonable(tree), allow_nan=False, ensure_ascii=False, indent=1) + "\n"


def jsonable(value):
    """The same tree for strict JSON: Python's own types instead of numpy's, None instead of NaN and infinity."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
