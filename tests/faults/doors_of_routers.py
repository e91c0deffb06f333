"""Doors of a trained router: pairs to score, histories, new LLMs, the configuration."""

import csv
import io
import json
import pathlib
from collections.abc import Callable

import pyarrow.parquet as pq
from faults.door import SUFFIXES, Door, Names, feedback_tables, one_of, only_file, several, strict_json, text, write_one
from faults.doors_of_data import check_finite, llm_rows
from faults.grammar import NUMBERS, TEXTS, Rng, cell, damaged, json_text, pick, rows, write_table

from prouter_jax import Router
from prouter_jax import config as configuration
from prouter_jax.data.interactions import Interactions
from prouter_jax.data.tables.additions import read_history, read_llm_additions
from prouter_jax.serving.batch.score import score_file
from prouter_jax.serving.router import read_config

_QUERY = "What is 2 + 2?"
_SCORED = 0.03  # share of the histories and LLMs with which the router scores


def doors_of_router(router: Router) -> dict[str, Door]:
    """The doors by name."""
    known = router.interactions
    names = Names([*known.users.ids[:4].tolist(), "new"], known.queries.ids[:6].tolist(), known.llms.ids.tolist())
    pairs = {"user_id": one_of([*names.users, 7]), "query": text, "query_id": one_of([*names.queries, None])}
    pairs |= {"task_id": one_of(["t", None]), "candidates": several(names.llms)}

    def score(rng: Rng, folder: pathlib.Path) -> None:
        source, target = only_file(folder), folder / f"out{pick(rng, SUFFIXES)}"
        counts = score_file(router.score_columns, source, target, strict=bool(rng.random() < 0.1))
        _check_scored(target, counts.rows)

    def add(rng: Rng, read: Callable[[], Interactions], grow: Callable[[], Router]) -> None:
        """Reads data, and now and then scores with it, for which JAX compiles."""
        if rng.random() < _SCORED:
            _check_shares(grow().score(names.users, [_QUERY] * len(names.users)).probabilities)
        else:
            check_finite(read())

    def add_history(rng: Rng, folder: pathlib.Path) -> None:
        path = only_file(folder)
        add(rng, lambda: read_history(path, known), lambda: router.with_history(path))

    def add_llms(rng: Rng, folder: pathlib.Path) -> None:
        add(rng, lambda: read_llm_additions(folder, known), lambda: router.with_llms(folder))

    return {
        "score": Door(lambda rng, folder: write_one(rng, folder, pairs, ("user_id", "query")), score),
        "history": Door(lambda rng, folder: _write_history(rng, folder, names), add_history),
        "llms": Door(lambda rng, folder: _write_additions(rng, folder, names), add_llms),
        "config": Door(_write_config, _read_config),
    }


def _write_history(rng: Rng, folder: pathlib.Path, names: Names) -> None:
    columns, required = pick(rng, list(feedback_tables(names).values()))
    write_one(rng, folder, columns | {"query": text, "task_id": one_of(["t"])}, required)


def _write_additions(rng: Rng, folder: pathlib.Path, names: Names) -> None:
    odd = pick(rng, (0.0, 0.1))
    write_table(rng, folder / f"llms{pick(rng, SUFFIXES)}", llm_rows(rng, ["new", names.llms[0]], odd))
    if rng.random() < 0.5:
        columns, required = feedback_tables(names)["choices"]
        chosen = [row | {"llm": "new"} for row in rows(rng, columns, 5, required)]
        write_table(rng, folder / f"choices{pick(rng, SUFFIXES)}", chosen)


def _write_config(rng: Rng, folder: pathlib.Path) -> None:
    """The JSON of a configuration with some fields changed, lost or renamed."""
    values = json.loads(configuration.to_json(configuration.ExperimentConfig(name="x")))
    for _ in range(int(rng.integers(0, 4))):
        section, name = values, pick(rng, list(values))
        while isinstance(section[name], dict) and section[name] and rng.random() < 0.9:
            section, name = section[name], pick(rng, list(section[name]))
        kept = section.pop(name)
        if rng.random() < 0.8 or len(section) == 0:
            as_read = kept if rng.random() < 0.2 else cell(rng, one_of([*NUMBERS, True, "em"]), 0.6)
            section[name if rng.random() < 0.9 else pick(rng, TEXTS)] = as_read
    content = json_text(rng, values, pick(rng, (0.0, 0.0, 0.01)))
    (folder / "config.json").write_bytes(damaged(rng, content.encode("utf-8", "surrogatepass"), 0.2))


def _read_config(rng: Rng, folder: pathlib.Path) -> None:
    config = configuration.validate(read_config(folder))
    assert configuration.from_json(configuration.to_json(config)) == config
    strict_json(configuration.to_json(config))


def _check_scored(path: pathlib.Path, number: int) -> None:
    """Every row of a scored file has a pick with its shares, or an error."""
    if path.suffix == ".parquet":
        found = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        csv.field_size_limit(1 << 30)
        found = list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))
    else:
        found = [strict_json(line) for line in path.read_bytes().decode().split("\n")[:-1]]
    assert len(found) == number, f"{len(found)} rows in place of {number}"
    for row in found:
        shares = row["probabilities"]
        shares = strict_json(shares) if isinstance(shares, str) and shares else dict(shares or {})
        assert bool(row["error"]) != bool(shares), row
        if shares:
            _check_shares([shares])
            assert row["llm"].lstrip("'") in shares or row["llm"] in shares, row


def _check_shares(found: list[dict[str, float]]) -> None:
    for shares in found:
        assert shares, "no probabilities"
        assert all(0 <= share <= 1 for share in shares.values()), shares
        assert abs(sum(shares.values()) - 1) < 1e-4, shares
