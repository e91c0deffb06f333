"""The file of LLMs that PersonaRoute-Bench, LLMRouter and xRouteBench publish: descriptions and prices by name.

| field | PersonaRoute-Bench, LLMRouter: JSON {name: {...}} | xRouteBench, llm_candidates: Parquet |
|---|---|---|
| name | key | model_name |
| description | feature | description |
| USD per million tokens | input_price, output_price | input_price_per_1m, output_price_per_1m |
| name at the API | model | api_model_id |

The columns of xRouteBench are those that benchmark_pipeline/download_data.py of github.com/ulab-uiuc/LLMRouter reads.
The table may also be CSV or JSONL, and have the names of the JSON.
"""

import dataclasses
import json
import pathlib

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.cells import is_utf8
from prouter_jax.data.interactions import Llms
from prouter_jax.data.public.builder import named_llms
from prouter_jax.data.public.records import PublicData, Record, read_records
from prouter_jax.data.tables.file_forms import data_files, file_format
from prouter_jax.data.tables.files import unique_keys
from prouter_jax.data.tables.parquet import one_line
from prouter_jax.data.validation import check_ranges, row_error
from prouter_jax.io.paths import require_file

_PRICES = ("input_price", "output_price")
_COLUMNS = {  # of a table, by the key of the JSON
    "name": ("model_name", "llm", "name"),
    "feature": ("description", "feature"),
    "input_price": ("input_price_per_1m", "input_price"),
    "output_price": ("output_price_per_1m", "output_price"),
    "model": ("api_model_id", "model"),
}


def with_llm_file(read: PublicData, path: pathlib.Path) -> PublicData:
    """A data set with the descriptions and prices of a file; other LLMs of the file are not added.

    An LLM that the file does not name is looked up by its name at the API, as xRouteBench's personalized pairs have it.

    Raises:
      ValueError: naming the file, if it is invalid or names none of the LLMs.
    """
    entries, llms = _entries(path), read.data.llms
    listed = _llms(path, entries)
    check_ranges("llms", listed, path.name)
    row_of = {name: row for row, name in enumerate(listed.ids)}
    for row, entry in enumerate(entries.values()):
        row_of.setdefault(str(entry.get("model") or ""), row)
    rows = np.array([row_of.get(name, -1) for name in llms.ids])
    if not (rows >= 0).any():
        raise ValueError(f"{path}: expected some of the LLMs {', '.join(llms.ids[:3])}..., found {listed.ids[0]}...")
    known = rows >= 0
    changed = dataclasses.replace(
        llms,
        descriptions=np.where(known, listed.descriptions[rows], llms.descriptions),
        input_price=np.where(known, listed.input_price[rows], llms.input_price),
        output_price=np.where(known, listed.output_price[rows], llms.output_price),
    )
    return dataclasses.replace(read, data=read.data.replace(llms=changed), files=(*read.files, *llm_files(path)))


def llm_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files behind a path of LLMs: the file itself, or the tables of a folder."""
    return data_files(path) if path.is_dir() else [path]


def read_llm_file(path: pathlib.Path) -> Llms:
    """The LLMs of a file in its order.

    Raises:
      ValueError: one line that names the file and the LLM.
    """
    return _llms(path, _entries(path))


def _llms(path: pathlib.Path, entries: dict[str, dict]) -> Llms:
    fields = [_checked(path.name, row, entry) for row, entry in enumerate(entries.values())]
    prices = {
        name: np.array([np.nan if entry[name] is None else entry[name] for entry in fields], float) for name in _PRICES
    }
    features = interactions.strings([entry["feature"] for entry in fields])
    return dataclasses.replace(named_llms(list(entries)), descriptions=features, **prices)


def _entries(path: pathlib.Path) -> dict[str, dict]:
    """By the name of each LLM, the fields of the JSON."""
    if path.is_dir() or file_format(path) not in (".json", ""):
        return _table_entries(path)
    prefix = f"table {path.name}: expected JSON {{name: {{feature, ...}}}}, found"
    require_file(path)
    try:
        entries = json.loads(path.read_text("utf-8"), object_pairs_hook=unique_keys)
    except OSError as error:
        raise ValueError(f"table {path.name}: expected a readable file, found {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{prefix} {one_line(error)}") from error
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError(f"{prefix} something else")
    for name in entries:
        if not is_utf8(name):
            raise ValueError(f"{prefix} the name {name!a}")
    return entries


def _table_entries(path: pathlib.Path) -> dict[str, dict]:
    """As `_entries`, of a table with a row for each LLM."""
    entries: dict[str, dict] = {}
    columns = [column for names in _COLUMNS.values() for column in names]
    for file in data_files(path):
        for row, _ in read_records(file, (), columns):
            found = {key: next((name for name in names if row.has(name)), "") for key, names in _COLUMNS.items()}
            if not found["name"]:
                raise row.error("model_name", "the name of an LLM", None)
            name = row.id(found["name"])
            if name in entries:
                raise row.error(found["name"], "each LLM once", name)
            entries[name] = _entry(row, found)
    return entries


def _entry(row: Record, column: dict[str, str]) -> dict:
    prices = {name: row.float(column[name], 0) if column[name] else np.nan for name in _PRICES}
    known = {name: None if np.isnan(price) else price for name, price in prices.items()}
    return known | {name: row.text_or_empty(column[name]) for name in ("feature", "model")}


def _checked(file: str, row: int, entry: dict) -> dict:
    """The entry of an LLM with defaults for absent keys."""
    entry = {"feature": "", **dict.fromkeys(_PRICES)} | entry
    if not isinstance(entry["feature"], str) or not is_utf8(entry["feature"]):
        raise row_error(file, "feature", row, "a text", entry["feature"])
    for name in _PRICES:
        price = entry[name]
        if price is not None and (type(price) not in (int, float) or not 0 <= price < 1e300):
            raise row_error(file, name, row, "a finite number >= 0", price)
    return entry
