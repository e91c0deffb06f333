"""The JSON file of LLMs that PersonaRoute-Bench and LLMRouter publish: descriptions and prices by name."""

import dataclasses
import json
import pathlib

import numpy as np

from prouter_jax.data import interactions
from prouter_jax.data.cells import is_utf8
from prouter_jax.data.interactions import Llms
from prouter_jax.data.public.builder import named_llms
from prouter_jax.data.public.records import PublicData
from prouter_jax.data.tables.files import unique_keys
from prouter_jax.data.tables.parquet import one_line
from prouter_jax.data.validation import check_ranges, row_error
from prouter_jax.io.paths import require_file

_PRICES = ("input_price", "output_price")


def with_llm_file(read: PublicData, path: pathlib.Path) -> PublicData:
    """A data set with the descriptions and prices of a file; other LLMs of the file are not added.

    Raises:
      ValueError: naming the file, if it is invalid or names none of the LLMs.
    """
    listed, llms = read_llm_file(path), read.data.llms
    check_ranges("llms", listed, path.name)
    row_of = {name: row for row, name in enumerate(listed.ids)}
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
    return dataclasses.replace(read, data=read.data.replace(llms=changed), files=(*read.files, path))


def read_llm_file(path: pathlib.Path) -> Llms:
    """The LLMs of a JSON file {name: {feature, input_price, output_price}} in its order.

    Raises:
      ValueError: one line that names the file and the LLM.
    """
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
    fields = [_checked(path.name, row, entry) for row, entry in enumerate(entries.values())]
    prices = {
        name: np.array([np.nan if entry[name] is None else entry[name] for entry in fields], float) for name in _PRICES
    }
    features = interactions.strings([entry["feature"] for entry in fields])
    return dataclasses.replace(named_llms(list(entries)), descriptions=features, **prices)


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
