"""A grammar of files: mostly sound tables and JSON, with every kind of cell, spelling and damage in places.

Bytes alone are refused by the first parser. A file that is sound but for one cell reaches the code behind it.
"""

import io
import json
import pathlib
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fuzz_mutations import VALUES, mutate_bytes

CANARY = "FAULTS_CANARY"
"""Variable of the environment; a file of the name that it has exists once a text was run as code."""
_CODE = (
    f"__import__('os').system('touch $' + '{CANARY}')",
    f"$(touch ${CANARY})",
    f"`touch ${CANARY}`",
    *("os:system", "faults.canary:run", "!!python/object/apply:os.system [id]", "{{7*7}}", "${jndi:ldap://x}"),
)
TEXTS = (
    *("", " ", "a", "é" * 9, "\u202egnp.exe", "a\0b", "\x1b[2J", "=1+1", "-1", "@x", "../../etc/passwd", "a" * 200_000),
    *(
        "null",
        "NaN",
        "1e999",
        "0x10",
        "true",
        '"',
        "'",
        "\\",
        "a,b",
        "a|b",
        "|",
        "\r\n",
        "<script>1</script>",
        "\ud800",
    ),
    *_CODE,
)
NUMBERS = (0, -0.0, 1, -1, 0.5, 2, 1e-320, 1e18, 1e19, 1e100, 1e308, 2**53 + 1, 2**63, 2**64, 10**30, 10**400)
ODD = (*VALUES, *TEXTS, *NUMBERS, float("nan"), -float("inf"), {"a": {"a": [1]}}, [[]], ["a", None], {"": ""})
RAW = ("NaN", "1e999", "-Infinity", "01", "1.", '"\\ud800"', "[" * 5000, '{"a":' * 5000, "1" * 5000, "'a'", "")

Rng = np.random.Generator


def pick(rng: Rng, values: Sequence):
    return values[int(rng.integers(len(values)))]


def cell(rng: Rng, sound: Callable[[Rng], object], odd: float):
    """A sound cell, or with the given probability any other."""
    return pick(rng, ODD) if rng.random() < odd else sound(rng)


def rows(rng: Rng, columns: dict[str, Callable[[Rng], object]], number: int, required: Sequence[str]) -> list[dict]:
    """Rows of a table: a column that is not required may be absent, a cell may be odd or missing."""
    odd = pick(rng, (0.0, 0.0, 0.0, 0.01, 0.05))
    kept = [name for name in columns if name in required or rng.random() < 0.6]
    if rng.random() < 0.03:
        kept = [name for name in kept if rng.random() < 0.8]
    if rng.random() < 0.1:
        kept += [pick(rng, ("extra", "llm", "error", "", "query", "a b", *TEXTS))]
    made = [{name: cell(rng, columns.get(name, _any), odd) for name in rng.permutation(kept)} for _ in range(number)]
    if rng.random() < 0.1:
        made = [{name: one for name, one in row.items() if rng.random() < 0.97} for row in made]
    return made


def write_table(rng: Rng, path: pathlib.Path, made: list[dict]) -> None:
    """Writes rows in the format of the suffix, now and then in an odd spelling or damaged."""
    content = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[path.suffix](rng, made)
    path.write_bytes(damaged(rng, content))


def damaged(rng: Rng, content: bytes, probability: float = 0.05) -> bytes:
    return mutate_bytes(content, rng)[0] if content and rng.random() < probability else content


def json_text(rng: Rng, value, raw: float = 0.0) -> str:
    """JSON of a value; texts may be escaped or not, and with the given probability a value is replaced by raw text."""
    if rng.random() < raw:
        return pick(rng, RAW)
    if isinstance(value, dict) and raw:
        members = [f"{json.dumps(name)}: {json_text(rng, one, raw)}" for name, one in value.items()]
        if members and rng.random() < raw:
            members.append(members[0])  # a name twice
        return "{" + ", ".join(members) + "}"
    if isinstance(value, list) and raw:
        return "[" + ", ".join(json_text(rng, one, raw) for one in value) + "]"
    return json.dumps(value, ensure_ascii=bool(rng.random() < 0.8))


def _any(rng: Rng):
    return pick(rng, ODD)


def _jsonl(rng: Rng, made: list[dict]) -> bytes:
    raw, end = pick(rng, (*[0.0] * 6, 0.005, 0.02)), pick(rng, ("\n", "\n", "\n", "\r\n", "\n\n"))
    lines = [json_text(rng, row, raw) for row in made]
    if rng.random() < 0.05:
        lines.insert(int(rng.integers(len(lines) + 1)), pick(rng, ("{}", "{ }", "[]", "1", "null", "//", "{", *RAW)))
    text = end.join(lines) + pick(rng, (end, end, ""))
    return pick(rng, (b"", b"", b"", b"\xef\xbb\xbf")) + text.encode("utf-8", "surrogatepass")


def _csv(rng: Rng, made: list[dict]) -> bytes:
    names = list(dict.fromkeys(name for row in made for name in row))
    out, quote = io.StringIO(newline=""), bool(rng.random() < 0.8)
    for row in [dict(zip(names, names, strict=True)), *made]:
        cells = [_csv_cell(row.get(name), quote) for name in names]
        if rng.random() < 0.01:
            cells = pick(rng, (cells[1:], [*cells, "x"], [], ['"', *cells]))
        out.write(",".join(cells) + pick(rng, ("\n", "\n", "\r\n")))
    return out.getvalue().encode("utf-8", "surrogateescape" if _escapable(out.getvalue()) else "replace")


def _csv_cell(value, quote: bool) -> str:
    if isinstance(value, list):
        value = "|".join(map(_short, value))
    text = "" if value is None else value if isinstance(value, str) else _short(value)
    return '"' + text.replace('"', '""') + '"' if quote and set(text) & set('",\r\n') else text


def _short(value) -> str:
    return "9" * 400 if isinstance(value, int) and value > 10**300 else str(value)


def _escapable(text: str) -> bool:
    return not any("\ud800" <= letter < "\udc80" for letter in text)


def _parquet(rng: Rng, made: list[dict]) -> bytes:
    names, out = list(dict.fromkeys(name for row in made for name in row)), io.BytesIO()
    arrays = [_arrow(rng, [row.get(name) for row in made]) for name in names]
    table = pa.Table.from_arrays(arrays, names=[name.encode("utf-8", "replace").decode() for name in names])
    try:
        pq.write_table(table, out, row_group_size=int(rng.integers(1, 9)), write_page_checksum=bool(rng.random() < 0.5))
    except (pa.ArrowException, ValueError, NotImplementedError):  # Parquet has no such type
        return b"PAR1"
    return out.getvalue()


_TYPES = (
    *(pa.string(), pa.large_string(), pa.binary(), pa.int8(), pa.int64(), pa.uint64(), pa.float16(), pa.float32()),
    *(
        pa.float64(),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("ns"),
        pa.timestamp("us", "UTC"),
        pa.duration("s"),
        pa.null(),
    ),
    *(pa.decimal128(38, 3), pa.dictionary(pa.int8(), pa.string()), pa.list_(pa.string()), pa.large_list(pa.int8())),
    *(pa.map_(pa.string(), pa.float64()), pa.struct([("a", pa.string())]), pa.list_(pa.list_(pa.float64()))),
)


def _arrow(rng: Rng, cells: list) -> pa.Array:
    """The cells in the type that Arrow finds, in any type that can hold them, or as texts."""
    for kind in (*([pick(rng, _TYPES)] if rng.random() < 0.1 else []), None):
        try:
            return pa.array(cells, kind)
        except (pa.ArrowException, ValueError, TypeError, OverflowError, UnicodeEncodeError):
            continue
    return pa.array([None if one is None else _short(one).encode("utf-8", "replace").decode() for one in cells])
