"""Made-up tables in random forms, some with a wrong cell, against a simple reader written here from the documents.

Either the project reads what this reader finds in the written files, or it says in one line what is wrong; and what is
sound for this reader is never refused.
"""

import csv
import gzip
import io
import json
import math
import random
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from public_facts import decision_facts, outcome_facts

from prouter_jax.data.tables.read_write import read_tables

LLMS = ("a", "b", "org/c-1.5", "x|y", "d;e", "f, g", "Ünï", "7", "a b", "(q)", "None-9B")
TEXTS = (
    "What is {}?",
    "Ein Satz, mit {}",
    'say "{}"',
    "two\nlines {}",
    "ümlaut {} 你好",
    " {} spaces ",
    "=SUM({})",
    "'{}'",
)
FORMS = (".csv", ".jsonl", ".parquet", ".json", ".ndjson", ".csv.gz", ".jsonl.gz", ".json.gz")
WRONG = {  # cells that no reader should take, by kind of column
    "llm": ("zzz", "", None, "a|", "A"),
    "user_id": ("", None),
    "query_id": ("q999", "", None, "Q1"),
    "effect": ("good", 1.5, -0.1, "1,5", "0.5.1"),
    "rating": ("many", "", None, "1e400"),
    "thumb": ("up?", 2, -1, 0.5, "", None),
    "winner": ("c", "", None, "A wins"),
    "candidates": (["a", "zzz"], "zzz|a", "a|zzz"),
    "cost": (-1, "1 dollar", 1e9),
}
ODD = {  # cells that mean something all the same
    "effect": (" 0.5", "1", "5e-1", True, 1, "", None),
    "cost": ("1e-3", " 0.25 ", 0, "", None),
    "rating": (" 4", "-2.5", 1e6, -3, "0"),
    "thumb": (True, False, "1", "0", 1.0),
}


def _rows(rng):
    """The tables of made-up data: each user and query in at most one feedback table."""
    llms = rng.sample(LLMS, rng.randint(3, 6))
    queries = [{"query_id": f"q{n}", "query": rng.choice(TEXTS).format(n)} for n in range(rng.randint(3, 8))]
    tables = {"queries": queries, "llms": [{"llm": llm} for llm in llms]}
    pairs = [(row["query_id"], llm) for row in queries for llm in llms]
    tables["outcomes"] = [
        {"query_id": query, "llm": llm, "effect": round(rng.random(), 3), "cost": round(rng.random() / 100, 6)}
        for query, llm in rng.sample(pairs, rng.randint(len(llms), len(pairs)))
    ]
    for user in (f"u{n}" for n in range(rng.randint(1, 4))):
        for row in queries:
            kind = rng.choice(("choices", "ratings", "thumbs", "votes", ""))
            first, second, *_ = some = rng.sample(llms, rng.randint(2, len(llms)))
            about = {"user_id": user, "query_id": row["query_id"]}
            if kind == "choices":
                tables.setdefault(kind, []).append(about | {"llm": first, "candidates": rng.sample(some, len(some))})
            elif kind == "ratings":
                tables.setdefault(kind, []).extend(about | {"llm": llm, "rating": rng.randint(1, 5)} for llm in some)
            elif kind == "thumbs":
                tables.setdefault(kind, []).append(about | {"llm": first, "thumb": rng.randint(0, 1)})
            elif kind == "votes":
                winner = rng.choice(("a", "b", "tie"))
                tables.setdefault(kind, []).append(about | {"llm_a": first, "llm_b": second, "winner": winner})
    return tables


def _change(rng, tables):
    """Repeats rows, or puts an odd or a wrong cell somewhere; whether the data is still sound."""
    kind = rng.choice(("none", "none", "repeat", "odd", "wrong"))
    fixed = ("queries", "llms", *(("outcomes", "votes") if kind == "repeat" else ()))  # people vote again on a pair
    name = rng.choice([name for name in tables if name not in fixed] or [""])
    if not name or kind == "none":
        return True
    rows = tables[name]
    if kind == "repeat":
        for row in rng.sample(rows, rng.randint(1, len(rows))):
            rows.insert(
                rng.randint(0, len(rows)),
                row | ({"candidates": row["candidates"][::-1]} if "candidates" in row else {}),
            )
        return True
    cells = ODD if kind == "odd" else WRONG
    columns = [column for column in rows[0] if column in cells or (column[:4] == "llm_" and kind == "wrong")]
    if columns:
        column = rng.choice(columns)
        rng.choice(rows)[column] = rng.choice(cells[column[:3] if column[:3] == "llm" else column])
    return kind == "odd" or not columns


def _joined(rng, names):
    """A text of the candidates that can be read in one way."""
    marks = "|;," if not re.search("[|;,]", "".join(names)) else ""
    return rng.choice(marks).join(names) if marks and rng.random() < 0.6 else json.dumps(names)


def _write(rng, folder, name, rows):
    suffix = rng.choice(FORMS)
    plain, columns = suffix.removesuffix(".gz"), list(rows[0])
    rng.shuffle(columns)
    rows = [{column: row[column] for column in columns} for row in rows]
    if plain == ".parquet" and all(len({type(row[c]) for row in rows} - {type(None)}) < 2 for c in columns):
        table = pa.Table.from_pylist(rows)
        for place, column in enumerate(columns):
            if pa.types.is_string(table[column].type) and rng.random() < 0.5:
                table = table.set_column(
                    place, column, rng.choice((table[column].dictionary_encode(), table[column].cast("large_string")))
                )
        pq.write_table(table, folder / f"{name}{suffix}")
        return
    plain, suffix = (".jsonl", ".jsonl") if plain == ".parquet" else (plain, suffix)
    if plain == ".csv":
        file, end = io.StringIO(), rng.choice(("\n", "\r\n"))
        writer = csv.writer(file, quoting=rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)), lineterminator=end)
        writer.writerow(columns)
        for row in rows:
            writer.writerow([_joined(rng, cell) if isinstance(cell, list) else cell for cell in row.values()])
        text = rng.choice(("", "\ufeff")) + file.getvalue()
    elif plain == ".json":
        text = json.dumps(rows, indent=rng.choice((None, 2)), ensure_ascii=rng.random() < 0.5)
    else:
        lines = [json.dumps(row, ensure_ascii=rng.random() < 0.5) for row in rows]
        text = "".join(f"{line}\n{rng.choice(('', '', chr(10)))}" for line in lines)
    content = text.encode()
    (folder / f"{name}{suffix}").write_bytes(gzip.compress(content) if suffix != plain else content)


def _read(folder, name):
    """The rows of a table, cells as they are in the file; an absent table has none."""
    for path in folder.glob(f"{name}.*"):
        if path.suffix == ".parquet":
            return pq.read_table(path).to_pylist()
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8-sig")
        if ".csv" in path.suffixes:
            return list(csv.DictReader(io.StringIO(text, newline="")))
        if ".json" in path.suffixes:
            return json.loads(text)
        return [json.loads(line) for line in text.split("\n") if line]
    return []


def _number(cell):
    return None if cell in (None, "") else float({"True": 1, "False": 0}.get(cell, cell))


def _names(cell):
    if isinstance(cell, list):
        return tuple(sorted(cell))
    return tuple(sorted(json.loads(cell) if cell.startswith("[") else re.split(r"[|;,]", cell)))


def _expected(folder):
    """The outcomes and the decisions of the files."""
    texts = {row["query_id"]: row["query"] for row in _read(folder, "queries")}
    llms = tuple(sorted(row["llm"] for row in _read(folder, "llms")))
    outcomes = {
        (row["query_id"], row["llm"]): (_number(row["effect"]), _number(row["cost"]))
        for row in _read(folder, "outcomes")
    }
    decisions = {}
    for row in _read(folder, "choices"):
        decisions[row["user_id"], row["query_id"]] = _names(row["candidates"]), {("choice", row["llm"]): 1.0}
    for row in _read(folder, "thumbs"):
        decisions[row["user_id"], row["query_id"]] = llms, {("thumb", row["llm"]): _number(row["thumb"])}
    ratings = {}
    for row in _read(folder, "ratings"):
        ratings.setdefault((row["user_id"], row["query_id"]), {})["rating", row["llm"]] = _number(row["rating"])
    decisions |= {key: (tuple(sorted(llm for _, llm in values)), values) for key, values in ratings.items()}
    for row in _read(folder, "votes"):
        pair, share = (row["llm_a"], row["llm_b"]), {"a": (1.0,), "b": (0.0, 1.0), "tie": (0.5, 0.5)}[row["winner"]]
        values = {("choice", llm): value for llm, value in zip(pair, share, strict=False) if value}
        decisions[row["user_id"], row["query_id"]] = tuple(sorted(pair)), values
    return texts, outcomes, {key: (texts[key[1]], *facts) for key, facts in decisions.items()}


def _found(data):
    texts = dict(zip(data.queries.ids.tolist(), data.queries.texts.tolist(), strict=True))
    outcomes = {key: facts[2:4] for key, facts in outcome_facts(data).items()}
    facts = decision_facts(data)
    decisions = {(user, query): (text, offer, values) for user, query, text, offer, _, _, values in facts}
    assert len(decisions) == len(facts)
    return texts, outcomes, decisions


def _check(folder, number):
    rng = random.Random(number)
    folder.mkdir()
    tables = _rows(rng)
    sound = _change(rng, tables)
    for name, rows in tables.items():
        _write(rng, folder, name, rows)
    try:
        data = read_tables(folder)
    except ValueError as error:
        message = str(error)
        assert not sound, f"{number}: {message}"
        assert re.match(r"table \S+, (column \w+, )?row \d+: expected .*, found ", message, re.DOTALL), (
            f"{number}: {message}"
        )
        assert "\n" not in message, number
        return False
    assert sound, f"{number}: a wrong cell was read"
    assert _plain(_found(data)) == _plain(_expected(folder)), number
    return True


def _plain(facts):
    """Outcomes without a number are as if absent; numbers are single precision."""
    texts, outcomes, decisions = facts
    kept = {key: [None if n is None else round(n, 5) for n in numbers] for key, numbers in outcomes.items()}
    return texts, kept, decisions


def test_some_tables_are_read_as_a_simple_reader_does(tmp_path):
    read = [_check(tmp_path / str(number), number) for number in range(40)]
    assert 20 < sum(read) < 40


@pytest.mark.slow
def test_three_thousand_tables_are_read_as_a_simple_reader_does(tmp_path):
    read = [_check(tmp_path / str(number), number) for number in range(1000, 4000)]
    assert math.isclose(sum(read) / len(read), 0.8, abs_tol=0.1)
