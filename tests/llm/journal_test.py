"""The journal: complete lines only, one writer, the last record of a key counts."""

import asyncio
import functools
import os

import pytest

from prouter_jax.llm.journal import Journal, read_journal
from prouter_jax.llm.judges.llm_judge import VERDICT, StoredVerdict

FIRST = StoredVerdict("k1", "u", "q", 2, None, 10, 1, 0.25)
SECOND = StoredVerdict("k2", "u", "r", None, "HTTP 400: ü", 10, 1, 0.5)
open_journal = functools.partial(Journal, record_type=StoredVerdict, noun=VERDICT)
read = functools.partial(read_journal, record_type=StoredVerdict, noun=VERDICT)


def _add(store, *entries):
    async def add_all():
        await asyncio.gather(*map(store.add, entries))

    asyncio.run(add_all())


def test_records_are_written_at_once_and_read_again(tmp_path):
    path = tmp_path / "folder" / "verdicts.jsonl"
    with open_journal(path) as store:
        _add(store, FIRST)
        assert read(path) == {"k1": FIRST}  # at once, not when the file is closed
        _add(store, SECOND)
        assert store.spent == 0.75
    with open_journal(path) as store:
        assert store.records == {"k1": FIRST, "k2": SECOND}
        assert store.spent == 0.75


def test_a_later_record_replaces_an_earlier_one_but_both_costs_count(tmp_path):
    again = StoredVerdict("k2", "u", "r", 1, None, 10, 1, 0.5)
    with open_journal(tmp_path / "v") as store:
        _add(store, SECOND)
        _add(store, again)
    with open_journal(tmp_path / "v") as store:
        assert store.records == {"k2": again}
        assert store.spent == 1.0


@pytest.mark.parametrize("torn", [b'{"key": "k3", ', b"\xff\x00", b"{}"])
def test_an_incomplete_last_line_is_dropped(tmp_path, torn):
    path = tmp_path / "v"
    with open_journal(path) as store:
        _add(store, FIRST)
    with open(path, "ab") as file:
        file.write(torn)
    assert read(path) == {"k1": FIRST}
    assert path.read_bytes().endswith(torn)  # reading alone changes nothing
    with open_journal(path) as store:
        _add(store, SECOND)
    assert read(path) == {"k1": FIRST, "k2": SECOND}


@pytest.mark.parametrize(
    "line",
    [
        *("", "{}", "[]", "nonsense", '{"key": "k"}', "\xff"),
        '{"key": "k", "user": "u", "query": "q", "choice": null, "failure": null, "input_tokens": 0, '
        '"output_tokens": 0, "cost": 0}',
        '{"key": "k", "user": "u", "query": "q", "choice": 1, "failure": null, "input_tokens": 0, '
        '"output_tokens": 0, "cost": -1}',
        '{"key": "k", "user": "u", "query": "q", "choice": 1, "failure": null, "input_tokens": 0, '
        '"output_tokens": 0, "cost": Infinity}',
        '{"key": "k", "user": 7, "query": "q", "choice": 1, "failure": null, "input_tokens": 0, '
        '"output_tokens": 0, "cost": 0}',
    ],
)
def test_an_invalid_line_is_an_error_with_its_row(tmp_path, line):
    path = tmp_path / "verdicts.jsonl"
    with open_journal(path) as store:
        _add(store, FIRST)
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n" + path.read_bytes())
    for opens in (read, open_journal):
        with pytest.raises(ValueError, match=r"^table verdicts\.jsonl, row 1: expected a verdict, found "):
            opens(path)


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    path = tmp_path / "v"
    with open_journal(path), pytest.raises(ValueError, match="in use by another run"):
        open_journal(path)
    with open_journal(path):
        pass


def test_a_missing_file_has_no_records(tmp_path):
    assert read(tmp_path / "none") == {}
    assert list(tmp_path.iterdir()) == []


def test_records_that_are_added_together_share_one_fsync(tmp_path, monkeypatch):
    synced, real = [], os.fsync
    with open_journal(tmp_path / "v") as store:
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(len(store.records)) or real(file))
        _add(store, *(StoredVerdict(f"k{row}", "u", "q", 1, None, 1, 1, 0.0) for row in range(100)))
    assert synced[-1] == 100
    assert len(synced) <= 2
