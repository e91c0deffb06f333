"""Whole files, sealed files, folders with a manifest."""

import dataclasses
import hashlib
import os
import shutil

import pytest

from prouter_jax.io import files
from prouter_jax.io.paths import list_folder, make_path


def test_write_whole_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    files.write_whole(path, "first")
    files.write_whole(path, b"\x00second")
    assert path.read_bytes() == b"\x00second"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_write_whole_keeps_the_old_file_when_it_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    files.write_whole(path, "old")

    def fail(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        files.write_whole(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_temporary_files_have_names_that_nobody_can_guess_and_follow_no_link(tmp_path, monkeypatch):
    """In containers all processes may have the same number."""
    (tmp_path / "victim").write_text("precious")
    monkeypatch.setattr(os, "getpid", lambda: 1)
    for planted in (".o.jsonl.1.tmp", ".o.jsonl.tmp"):
        (tmp_path / planted).symlink_to(tmp_path / "victim")
    with files.open_whole(tmp_path / "o.jsonl") as one, files.open_whole(tmp_path / "o.jsonl") as other:
        one.write(b"first")
        other.write(b"second")
    assert (tmp_path / "o.jsonl").read_text() == "first"
    assert not (tmp_path / "o.jsonl").is_symlink()
    assert (tmp_path / "victim").read_text() == "precious"


def test_the_next_write_removes_what_a_killed_process_left_and_nothing_else(tmp_path):
    names = [".o.jsonl.1a.tmp", ".other.1a.tmp", "o.jsonl.tmp"]
    for name in names:
        (tmp_path / name).write_text("of a killed process")
    with files.open_whole(tmp_path / "o.jsonl") as running:
        files.write_whole(tmp_path / "o.jsonl", "meanwhile")
        running.write(b"last")
    assert sorted(os.listdir(tmp_path)) == [".other.1a.tmp", "o.jsonl", "o.jsonl.tmp"]
    files.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == ["o.jsonl", "o.jsonl.tmp"]
    assert (tmp_path / "o.jsonl").read_text() == "last"


def test_sha256_of(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_delete_takes_files_and_folders(tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    files.delete(tmp_path / "folder")
    files.delete(tmp_path / "file")
    assert os.listdir(tmp_path) == []


def test_sealed_round_trip(tmp_path):
    values = {"step": 3, "metric": -0.125, "names": ["ä", None], "nested": {"b": 1, "a": []}}
    files.write_sealed(tmp_path / "s.json", values)
    assert files.read_sealed(tmp_path / "s.json") == values


def test_sealed_notices_every_changed_byte(tmp_path):
    path = tmp_path / "s.json"
    files.write_sealed(path, {"metric": 0.5, "step": 12})
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ValueError, match=r"^s\.json: "):
            files.read_sealed(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b'{"values": {}}', b"\xff\xfe", b"[" * 100_000])
def test_sealed_rejects_what_it_did_not_write(tmp_path, content):
    (tmp_path / "s.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"^s\.json: "):
        files.read_sealed(tmp_path / "s.json")


def test_sealed_missing(tmp_path):
    with pytest.raises(ValueError, match=r"s\.json: missing"):
        files.read_sealed(tmp_path / "s.json")


def test_append_adds_to_what_is_there(place):
    files.append(place / "log", "ä\n")
    files.append(place / "log", "b\n")
    assert (place / "log").read_bytes() == "ä\nb\n".encode()


def _fail_halfway(path):
    with files.open_whole(path) as file:
        file.write(b"half")
        raise RuntimeError("halfway")


def test_a_file_is_whole_or_not_there(place):
    for old in (None, b"old"):
        with pytest.raises(RuntimeError, match="halfway"):
            _fail_halfway(place / "a")
        assert ((place / "a").read_bytes() if (place / "a").exists() else None) == old
        files.write_whole(place / "a", b"old")
    files.write_whole(place / "a", "new")
    assert (place / "a").read_text() == "new"
    assert [path.name for path in list_folder(place)] == ["a"]


def test_a_folder_loses_its_manifest_first(folder, monkeypatch):
    """Half of a folder must not pass for the whole."""
    deleted, unlink = [], type(folder).unlink

    def note(path, missing_ok=False):
        deleted.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(type(folder), "unlink", note)
    files.delete(folder)
    assert deleted[0] == "manifest.json"
    assert not (folder / "b").exists()
    assert list_folder(folder) == []


def test_a_full_disk_is_told_with_the_name_of_the_file(small_disk):
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 4096))
    for write in (files.write_whole, files.append):
        with pytest.raises(OSError, match=f"No space left on device: '{small_disk}/a'"):
            write(small_disk / "a", "x" * 9000)
    assert not [path for path in list_folder(small_disk) if path.name.endswith(".tmp")]


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path):
    """Where files may lie."""
    return make_path(request.getfixturevalue("bucket") + "/place") if request.param == "bucket" else tmp_path


@pytest.fixture
def folder(place):
    (place / "inner").mkdir(exist_ok=True)
    files.write_whole(place / "inner" / "a", b"aaa")
    files.write_whole(place / "b", b"")
    files.write_manifest(place, {"step": 7})
    return place


def test_verify_returns_the_values(folder):
    assert files.verify(folder) == files.read_manifest(folder) == {"step": 7}


def test_verify_names_a_changed_file(folder):
    files.write_whole(folder / "inner" / "a", b"aab")
    with pytest.raises(ValueError, match="inner/a: SHA-256 differs from the manifest"):
        files.verify(folder)


def test_verify_names_a_missing_file(folder):
    (folder / "b").unlink()
    with pytest.raises(ValueError, match="b: missing"):
        files.verify(folder)


def test_verify_names_a_new_file(folder):
    files.write_whole(folder / "inner" / "c", b"")
    with pytest.raises(ValueError, match="inner/c: not in the manifest"):
        files.verify(folder)


def test_verify_names_a_folder_in_place_of_a_file(tmp_path):
    (tmp_path / "b").write_bytes(b"")
    files.write_manifest(tmp_path, {"step": 7})
    (tmp_path / "b").unlink()
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match="b: cannot be read"):
        files.verify(tmp_path)


def test_temporary_files_of_killed_processes_belong_to_no_folder(tmp_path):
    """Neither before the manifest is written nor after it: their loss, too, changes nothing."""
    (tmp_path / "tables").mkdir()
    files.write_whole(tmp_path / "tables" / "tasks.csv", "a")
    left = tmp_path / "tables" / ".tasks.csv.25537.tmp"
    left.write_bytes(b"half")
    files.write_manifest(tmp_path, {"n": 1})
    assert list(files.read_sealed(tmp_path / files.MANIFEST)["files"]) == ["tables/tasks.csv"]
    assert files.verify(tmp_path) == {"n": 1}
    left.unlink()
    (tmp_path / ".manifest.json.1.tmp").write_bytes(b"half")
    assert files.verify(tmp_path) == {"n": 1}


def test_a_sealed_file_in_the_place_of_another_is_bad_input(tmp_path):
    files.write_sealed(tmp_path / "best.json", {"parameters": 3, "inner": {"a": 1}})
    values = files.read_sealed(tmp_path / "best.json")
    assert values == {"parameters": 3, "inner": {"a": 1}}
    for read in (lambda: values["step"], lambda: values["inner"]["b"]):
        with pytest.raises(ValueError, match=r"^best\.json: expected a value '.*', found the content of another file$"):
            read()
    record = dataclasses.make_dataclass("Record", ["values"])
    assert dataclasses.asdict(record(values)) == {"values": values}
    (tmp_path / "manifest.json").write_bytes((tmp_path / "best.json").read_bytes())
    for read in (files.verify, files.read_manifest):
        with pytest.raises(ValueError, match=r"^manifest\.json: expected a value '(files|values)'"):
            read(tmp_path)
