"""Which files hold data: formats by suffix, packed files, folders of shards, globs, and the tables of a folder.

A format is .parquet, .csv, .jsonl (or .ndjson) or .json, in any case, and the texts also with .gz after it. Data sets
of many files are read in the order of their names: a folder whose files have one format, or a path with * in it.
"""

import difflib
import glob
import pathlib
import re
from collections.abc import Collection

from prouter_jax.io.display import log_line
from prouter_jax.io.paths import files_below, is_remote, list_folder, open_text, require_file

FORMATS = (".parquet", ".csv", ".jsonl", ".json")
SUFFIXES = (*FORMATS, ".ndjson", ".csv.gz", ".jsonl.gz", ".json.gz", ".ndjson.gz")
_SAME = {".ndjson": ".jsonl", ".pq": ".parquet"}
_PACKED = ".gz"
_SHARD = re.compile(r"(.+?)-\d{3,}-of-\d{3,}")  # as Hugging Face and TensorFlow name shards
_GLOB = re.compile(r"[*?\[]")
_OTHERS = (
    ".tsv",
    ".xlsx",
    ".xls",
    ".txt",
    ".zip",
    ".bz2",
    ".xz",
    ".zst",
    ".feather",
    ".arrow",
    ".pickle",
    ".pkl",
    ".db",
)
_NEAR = 0.85  # similarity of names
_COPY = re.compile(r"[-_. (]")  # what stands between the name of a table and the words of a copy of it


def file_format(path: pathlib.PurePath) -> str:
    """The format of a file, one of `FORMATS`; "" for none of them."""
    suffixes = [suffix.lower() for suffix in path.suffixes[-2:]]
    packed = suffixes[-1:] == [_PACKED]
    suffix = "".join(suffixes[-2:-1] if packed else suffixes[-1:])
    found = _SAME.get(suffix, suffix)
    return found if found in FORMATS and not (packed and found == ".parquet") else ""


def require_format(path: pathlib.Path, formats: Collection[str] = FORMATS) -> str:
    """The format of a file.

    Raises:
      ValueError: if it is none of `formats`.
    """
    found = file_format(path)
    if found not in formats:
        expected = ", ".join(formats)
        raise ValueError(f"{path}: expected a file of {expected}, texts also with .gz, found {path.suffix!r}")
    return found


def data_suffix(path: pathlib.Path) -> str:
    """The suffixes of the format of a file: ".csv.gz" of outcomes.v2.csv.gz."""
    return "".join(path.suffixes[-2:] if path.suffix.lower() == _PACKED else path.suffixes[-1:])


def data_stem(path: pathlib.Path) -> str:
    """The name of a file without the suffixes of its format."""
    return path.name.removesuffix(data_suffix(path))


def data_files(path: pathlib.Path) -> list[pathlib.Path]:
    """The files of a data set: the file itself, the files of a folder, or those that fit a path with *.

    Raises:
      ValueError: if there is none, or a folder has files of several formats.
    """
    if not path.exists() and _GLOB.search(path.name) and not is_remote(path):
        found = sorted(pathlib.Path(name) for name in glob.glob(str(path), recursive=True))
        if not found:
            raise ValueError(f"{path}: expected files, found none that fit it")
        return found
    return _files_of(path) if path.is_dir() else [require_file(path)]


def is_table(path: pathlib.Path) -> bool:
    """Whether a file can be a table: a JSON object is none, such as the file of LLMs that collect reads."""
    if file_format(path) != ".json":
        return bool(file_format(path))
    with open_text(path, encoding="utf-8-sig", errors="replace") as file:
        return file.read(1000).lstrip()[:1] != "{"


def table_files(folder: pathlib.Path, names: Collection[str]) -> dict[str, list[pathlib.Path]]:
    """The files of each table of a folder.

    A table NAME is the file NAME.FORMAT in any case, the shards NAME-00000-of-00002.FORMAT, or the files of a folder
    NAME. Of a file whose name is nearly that of a table that is there, a line on stderr says that it is not read.

    Raises:
      ValueError: if a table is there twice, or absent beside a file of nearly its name: outcome.csv, outcomes.xlsx.
    """
    found: dict[str, list[pathlib.Path]] = {}
    others: list[pathlib.Path] = []
    for path in sorted(list_folder(folder)):
        name = _table_of(path, names)
        if not name and not path.is_dir():
            others.append(path)
        elif name and (path.is_dir() or is_table(path)):
            found.setdefault(name, []).append(path)
    tables = {name: _one_source(name, paths) for name, paths in found.items()}
    for path in others:
        _check_near(path, names, tables)
    return tables


def _files_of(folder: pathlib.Path) -> list[pathlib.Path]:
    files = [folder / name for name in files_below(folder)]
    formats = {path: file_format(path) for path in files if not path.name.startswith((".", "_"))}
    known = sorted(set(formats.values()) - {""})
    if not known or (len(known) > 1 and ".parquet" not in known):  # beside shards there may be JSON about them
        found = " and ".join(known) or "none"
        raise ValueError(f"{folder}: expected files of one format, found {found}; name files by a path with *")
    kind = ".parquet" if ".parquet" in known else known[0]
    return [path for path, form in formats.items() if form == kind]


def _table_of(path: pathlib.Path, names: Collection[str]) -> str:
    """The table that a file or a folder belongs to; "" for none."""
    if path.is_dir():
        stem = path.name.lower() if path.name.lower() in names and any(map(_has_format, files_below(path))) else ""
    else:
        stem = data_stem(path).lower() if file_format(path) else ""
    shard = _SHARD.fullmatch(stem)
    stem = shard[1] if shard else stem
    return stem if stem in names else ""


def _has_format(name: str) -> bool:
    return bool(file_format(pathlib.PurePosixPath(name)))


def _one_source(name: str, paths: list[pathlib.Path]) -> list[pathlib.Path]:
    shards = [path for path in paths if not path.is_dir() and _SHARD.fullmatch(data_stem(path))]
    if len(paths) > 1 and len(shards) != len(paths):
        raise ValueError(f"table {name}: expected one file, found {' and '.join(path.name for path in paths)}")
    return data_files(paths[0]) if len(paths) == 1 else paths


def _check_near(path: pathlib.Path, names: Collection[str], found: Collection[str]) -> None:
    """Refuses a data file whose name is nearly that of an absent table; of other such files a line is printed."""
    if not (file_format(path) or path.suffix.lower() in (*_OTHERS, _PACKED)):
        return
    stem = path.name.partition(".")[0].lower()
    near = difflib.get_close_matches(stem, (*names, "query"), 1, _NEAR)
    table = "queries" if near == ["query"] else "".join(near)
    expected = f"{table} as .csv, .jsonl, .json or .parquet, texts also with .gz"
    if table and table not in found:
        raise ValueError(f"{path}: expected {expected}, found a file of nearly that name; rename it or move it away")
    if table or _COPY.split(stem)[0] in names:
        log_line(f"{path}: not read, the table would be {table or _COPY.split(stem)[0]}{path.suffix.lower()}")
