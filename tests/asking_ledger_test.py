"""The file of verdicts: whole lines only, one writer, the last line of a key counts."""

import pytest

from prouter_jax.judges.verdicts import Stored, VerdictStore, read_verdicts

FIRST = Stored("k1", "u", "q", 2, None, 10, 1, 0.25)
SECOND = Stored("k2", "u", "r", None, "HTTP 400: ü", 10, 1, 0.5)


def test_what_was_added_is_read_again(tmp_path):
    path = tmp_path / "folder" / "verdicts.jsonl"
    with VerdictStore(path) as store:
        store.add(FIRST)
        assert read_verdicts(path) == {"k1": FIRST}  # at once, not when the file is closed
        store.add(SECOND)
        assert store.spent == 0.75
    with VerdictStore(path) as store:
        assert store.verdicts == {"k1": FIRST, "k2": SECOND}
        assert store.spent == 0.75


def test_a_later_line_replaces_an_earlier_one_but_both_were_paid(tmp_path):
    again = Stored("k2", "u", "r", 1, None, 10, 1, 0.5)
    with VerdictStore(tmp_path / "v") as store:
        store.add(SECOND)
        store.add(again)
    with VerdictStore(tmp_path / "v") as store:
        assert store.verdicts == {"k2": again}
        assert store.spent == 1.0


@pytest.mark.parametrize("torn", [b'{"key": "k3", ', b"\xff\x00", b"{}"])
def test_a_torn_last_line_is_dropped_and_not_written_on(tmp_path, torn):
    path = tmp_path / "v"
    with VerdictStore(path) as store:
        store.add(FIRST)
    with open(path, "ab") as file:
        file.write(torn)
    assert read_verdicts(path) == {"k1": FIRST}
    assert path.read_bytes().endswith(torn)  # reading alone changes nothing
    with VerdictStore(path) as store:
        store.add(SECOND)
    assert read_verdicts(path) == {"k1": FIRST, "k2": SECOND}


@pytest.mark.parametrize(
    "line",
    [
        *("", "{}", "[]", "nonsense", '{"key": "k"}', "\xff"),
        '{"key": "k", "user": "u", "query": "q", "choice": null, "failure": null, "input_tokens": 0, '
        '"output_tokens": 0, "cost": 0}',
        '{"key": "k", "user": "u", "query": "q", "choice": 1, "failure": null, "input_tokens": 0, '
        '"output_tokens": 0, "cost": -1}',
    ],
)
def test_a_bad_line_elsewhere_is_named(tmp_path, line):
    path = tmp_path / "verdicts.jsonl"
    with VerdictStore(path) as store:
        store.add(FIRST)
    path.write_bytes(path.read_bytes() + line.encode("latin-1") + b"\n" + path.read_bytes())
    for read in (read_verdicts, VerdictStore):
        with pytest.raises(ValueError, match=r"^table verdicts\.jsonl, row 1: expected a verdict, found "):
            read(path)


def test_a_second_writer_is_refused_until_the_first_is_done(tmp_path):
    path = tmp_path / "v"
    with VerdictStore(path), pytest.raises(ValueError, match="in use by another run"):
        VerdictStore(path)
    with VerdictStore(path):
        pass


def test_no_file_is_no_verdicts(tmp_path):
    assert read_verdicts(tmp_path / "none") == {}
    assert list(tmp_path.iterdir()) == []
