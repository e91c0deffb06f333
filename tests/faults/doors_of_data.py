"""Doors of commands that turn data into tables: logs, folders of tables, public data sets, configurations."""

import json
import pathlib
import sys
import unittest.mock

import numpy as np
from absl import flags
from faults.door import (
    FEW,
    SUFFIXES,
    Door,
    feedback_tables,
    number,
    one_of,
    only_file,
    several,
    strict_json,
    text,
)
from faults.grammar import TEXTS, Rng, cell, damaged, pick, rows, write_table
from fuzz_formats import FORMATS
from fuzz_mutations import mutate_records
from ml_collections.config_flags import config_flags

from launch import config_flag, entry
from prouter_jax import config as configuration
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.fields import parse_columns
from prouter_jax.data.tables.read_write import read_tables

_MEASURED = ("effect", "cost", "input_tokens", "output_tokens")


def doors_of_data() -> dict[str, Door]:
    """The doors by name."""
    return {
        "logs": Door(_write_log, _read_log),
        "tables": Door(_write_folder, lambda rng, folder: check_finite(read_tables(folder))),
        "public": Door(_write_public, _read_public),
        "overrides": Door(_write_overrides, _read_overrides),
    }


def llm_rows(rng: Rng, names: list[str], odd: float) -> list[dict]:
    """Rows of a table of LLMs, with odd cells beside their names."""
    values = {"family": one_of(["f"]), "description": text, "input_price": number, "output_price": number}
    return [{"llm": name} | {field: cell(rng, value, odd) for field, value in values.items()} for name in names]


def check_finite(data: Interactions) -> None:
    """Numbers are missing or finite."""
    for table in (data.users, data.llms, data.outcomes, data.decisions, data.feedback):
        for name, column in vars(table).items():
            if isinstance(column, np.ndarray) and column.dtype.kind == "f":
                assert not np.isinf(column).any(), name


def _write_log(rng: Rng, folder: pathlib.Path) -> None:
    llms = ["a", "b", "c"]
    columns = {
        pick(rng, ("user", "user_id", "end_user")): one_of(["u", "v", 7]),
        pick(rng, ("prompt", "query", "question")): text,
        "messages": lambda rng: [{"role": "user", "content": text(rng)}],
        pick(rng, ("model", "served", "llm")): one_of(llms),
        "candidates": several(llms),
        "task": one_of(["t", "s"]),
        **dict.fromkeys(("input_tokens", "output_tokens", "latency"), one_of([0, 5, 10])),
        **dict.fromkeys(("cost", "cost_usd", "propensity", "rating"), number),
        "thumb": one_of(["up", "down", 1, -1, True, None]),
        "time": one_of([1.0, 1700000000, 1700000000000, "2026-01-01", "2026-01-01T00:00:00Z"]),
    }
    path = folder / f"log{pick(rng, ('.jsonl', '.jsonl', '.parquet'))}"
    write_table(rng, path, rows(rng, columns, int(rng.integers(0, 30)), list(columns)[:4]))


def _read_log(rng: Rng, folder: pathlib.Path) -> None:
    options = Options(
        columns=parse_columns("task=messages" if rng.random() < 0.05 else ""),
        rating_range=pick(rng, (None, None, (0.0, 1.0))),
        hash_key=pick(rng, (None, None, b"k" * 32)),
        mask=bool(rng.random() < 0.2),
        strict=bool(rng.random() < 0.1),
    )
    counts = convert_log([only_file(folder)], folder / "out", options)
    strict_json((folder / "out" / "log.json").read_text())
    try:
        data = read_tables(folder / "out")
    except ValueError as error:
        raise AssertionError(f"what was written is not read: {error}") from None
    assert len(data.decisions.user) == counts.kept
    check_finite(data)


def _write_folder(rng: Rng, folder: pathlib.Path) -> None:
    """Queries and LLMs that each are there once, and feedback of one form or two."""
    odd = pick(rng, (0.0, 0.0, 0.02))
    queries = [
        {"query_id": name, "query": cell(rng, text, odd), "task_id": cell(rng, one_of(["t"]), odd)}
        for name in FEW.queries
    ]
    write_table(rng, folder / f"queries{pick(rng, SUFFIXES)}", queries)
    write_table(rng, folder / f"llms{pick(rng, SUFFIXES)}", llm_rows(rng, FEW.llms, odd))
    forms = feedback_tables(FEW)
    for name in {pick(rng, list(forms)), "choices"}:
        columns, required = forms[name]
        made = {repr((row.get("user_id"), row.get("query_id"))): row for row in rows(rng, columns, 12, required)}
        write_table(rng, folder / f"{name}{pick(rng, SUFFIXES)}", list(made.values()))
    if rng.random() < 0.4:
        pairs = [{"query_id": query, "llm": llm} for query in FEW.queries for llm in FEW.llms]
        measured = [pair | {name: cell(rng, number, odd) for name in _MEASURED} for pair in pairs]
        write_table(rng, folder / f"outcomes{pick(rng, SUFFIXES)}", measured)


def _write_public(rng: Rng, folder: pathlib.Path) -> None:
    name = pick(rng, list(FORMATS))
    records = mutate_records(FORMATS[name].records, rng)[0] if rng.random() < 0.7 else FORMATS[name].records
    try:
        path = FORMATS[name].write(folder, records)
    except (ValueError, TypeError, OverflowError):  # Parquet and UTF-8 hold less than Python
        path = FORMATS[name].write(folder, FORMATS[name].records)
    path.write_bytes(damaged(rng, path.read_bytes(), 0.3))
    (folder / "what.json").write_text(json.dumps([name, str(path)]))


def _read_public(rng: Rng, folder: pathlib.Path) -> None:
    name, path = json.loads((folder / "what.json").read_text())
    FORMATS[name].read(pathlib.Path(path))


def _write_overrides(rng: Rng, folder: pathlib.Path) -> None:
    values, arguments = json.loads(configuration.to_json(configuration.ExperimentConfig(name="x"))), []
    for _ in range(int(rng.integers(1, 4))):
        section, path = values, []
        while isinstance(section, dict) and section and rng.random() < 0.95:
            path.append(pick(rng, list(section)))
            section = section[path[-1]]
        value = cell(rng, one_of([section, section, 2, 0.5]), 0.2)
        path += [pick(rng, TEXTS)] if rng.random() < 0.05 else []
        name = pick(rng, (*[""] * 20, "no")) + ".".join(["config", *path])
        arguments.append(f"--{name}" if rng.random() < 0.05 else f"--{name}={_short(value)}")
    (folder / "flags.json").write_text(json.dumps(arguments))


def _short(value) -> str:
    return "9" * 400 if isinstance(value, int) and value > 10**300 else str(value)


def _read_overrides(rng: Rng, folder: pathlib.Path) -> None:
    """Parses the flags as `launch.entry` does."""
    arguments = ["train", "--config=embedded", *json.loads((folder / "flags.json").read_text())]
    known, before = flags.FlagValues(), sys.argv
    config_flags.DEFINE_config_file("config", None, "", flag_values=known)
    known["config"].parser = config_flag._ExperimentParser()
    sys.argv = arguments
    with unittest.mock.patch.object(flags, "FLAGS", known):
        try:
            known(arguments)
        except Exception as error:  # all of them are one line there
            raise ValueError(f"expected flags, found {entry.flag_error(arguments, error)}") from None
        finally:
            sys.argv = before
    config = configuration.validate(known["config"].value)
    strict_json(configuration.to_json(config))
