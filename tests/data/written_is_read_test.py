"""Whatever the project writes, it reads: random tables and random logs, in every form, come back as they were."""

import csv
import dataclasses
import gzip
import io
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.tables import read_logged
from prouter_jax.data.tables.read_write import read_tables, write_tables

WORDS = ("", " ", "\n", "\t", "a", "|", ";", ",", '"', "'", "[", "]", "{", "}", "\\", "é", "漢", "👍🏽", "\u2028", "\0")
NAMES = ("1", "1.0", "a|b", "a;b", "[a]", "x\ny", "nan.", "true", "-1", "é", "  padded  ", "=1+1", "@a", "\ufeffb")
CONTENTS = (
    "Hi",
    [{"type": "text", "text": "Hi"}],
    [{"type": "text", "text": ""}],
    [{"type": "image_url"}],
    [{"type": "tool_result", "content": "x"}],
    "",
    None,
    [],
)


def _text(rng):
    return "".join(rng.choice(WORDS) for _ in range(rng.randrange(1, 9)))


def _rows(rng, number):
    """Requests with odd texts, names and messages; numbers as the usual types."""
    dated = rng.random() < 0.5
    for _ in range(number):
        llm = rng.choice(NAMES)
        question = rng.choice([_text(rng), *CONTENTS])
        row = {"user": rng.choice(NAMES), "model": llm, "thumb": rng.choice(("up", "down", None))}
        if isinstance(question, str) and rng.random() < 0.5:
            row["prompt"] = question
        else:
            row["messages"] = [{"role": "user", "content": question}]
        if rng.random() < 0.3:
            row["candidates"] = [llm, "other"]
        if rng.random() < 0.5:
            row |= {"cost": rng.choice((0.5, 0, 1e-9)), "input_tokens": rng.randrange(5), "output_tokens": 3}
        row["time"] = 1.7e9 * rng.choice((1, 1e3, 1e6)) if dated else rng.random()
        yield row


def _question(row):
    """The question of a row by an independent rule, "" for none."""
    if "prompt" in row:
        return row["prompt"]
    content = row["messages"][0]["content"]
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    return content or ""


def _write_csv(path, rows):
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    for row in rows:
        cells = {name: json.dumps(cell) if isinstance(cell, list) else cell for name, cell in row.items()}
        writer.writerow(cells)
    path.write_bytes(text.getvalue().encode())


def _write_log(folder, rng, rows):
    form = rng.choice(("jsonl", "json", "csv", "parquet", "jsonl.gz", "csv.gz"))
    path = folder / f"log.{form}"
    plain = path.with_suffix("") if form.endswith(".gz") else path
    lines = "".join(json.dumps(row, ensure_ascii=rng.random() < 0.5) + "\n" for row in rows).encode()
    if "csv" in form:
        _write_csv(plain, rows)
    elif form == "parquet":
        names = list(dict.fromkeys(name for row in rows for name in row))
        cells = {name: [row.get(name) for row in rows] for name in names}
        as_json = {"messages": [cell and json.dumps(cell) for cell in cells.get("messages", [])]}
        pq.write_table(pa.table(cells | (as_json if "messages" in cells else {})), plain)
    else:
        plain.write_bytes(json.dumps(rows).encode() if form == "json" else lines)
    if form.endswith(".gz"):
        path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def _check_log(folder, rng):
    rows = list(_rows(rng, rng.randrange(5, 40)))
    kept = [row for row in rows if _question(row).strip()]
    if not kept:
        return
    counts = convert_log([_write_log(folder, rng, rows)], folder / "tables", Options())
    assert (counts.rows, counts.kept) == (len(rows), len(kept))
    data = read_tables(folder / "tables")
    logged = read_logged(folder / "tables", data)
    at = np.argsort(data.decisions.ids.astype(int))
    found = zip(
        data.users.ids[data.decisions.user[at]],
        data.queries.texts[data.decisions.query[at]],
        data.llms.ids[logged.served[at]],
        [{0: "down", 1: "up"}.get(reward) for reward in logged.reward[at]],
        strict=True,
    )
    expected = [(row["user"], _question(row), row["model"], row["thumb"]) for row in kept]
    assert list(found) == expected
    _check_again(data, folder / "again")


def _check_again(data, folder):
    """Tables that are written and read come back equal."""
    write_tables(data, folder)
    again = read_tables(folder)
    for field in dataclasses.fields(data):
        one, other = getattr(data, field.name), getattr(again, field.name)
        if field.name == "offers":
            continue  # numbered anew; the sets of decisions are compared below
        for column in dataclasses.fields(one):
            if column.name != "offer" and getattr(one, column.name) is not None:
                np.testing.assert_array_equal(getattr(one, column.name), getattr(other, column.name))
    np.testing.assert_array_equal(data.offers[data.decisions.offer], again.offers[again.decisions.offer])


def _fuzz(folder, number, seed):
    rng = random.Random(seed)
    for count in range(number):
        (folder / str(count)).mkdir()
        _check_log(folder / str(count), rng)


def test_a_few_random_logs(tmp_path):
    _fuzz(tmp_path, 12, seed=0)


@pytest.mark.slow
def test_many_random_logs(tmp_path):
    _fuzz(tmp_path, 300, seed=1)


@pytest.mark.parametrize("text", ["", "\ud800"])
def test_a_query_that_could_not_be_read_is_not_written(tmp_path, two_users, text):
    texts = two_users.queries.texts.copy()
    texts[1] = text
    data = two_users.replace(queries=dataclasses.replace(two_users.queries, texts=texts))
    with pytest.raises(ValueError, match="table queries, column query, row 1: expected a text that is not empty"):
        write_tables(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_times_are_written_in_seconds_as_they_are_read(tmp_path, two_users):
    times = np.where(np.arange(len(two_users.decisions.time)) % 2, 1.7e12, 1.7e9)
    data = two_users.replace(decisions=dataclasses.replace(two_users.decisions, time=times))
    write_tables(data, tmp_path)
    assert read_tables(tmp_path).decisions.time.tolist() == [1.7e9] * len(times)
