"""Whole files, sealed files, folders with a manifest."""

import hashlib
import os

import pytest

from prouter_jax import files


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


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_bytes(b"aaa")
    (tmp_path / "b").write_bytes(b"")
    files.write_manifest(tmp_path, {"step": 7})
    return tmp_path


def test_verify_returns_the_values(folder):
    assert files.verify(folder) == files.read_manifest(folder) == {"step": 7}


def test_verify_names_a_changed_file(folder):
    (folder / "inner" / "a").write_bytes(b"aab")
    with pytest.raises(ValueError, match="inner/a: SHA-256 differs from the manifest"):
        files.verify(folder)


def test_verify_names_a_missing_file(folder):
    (folder / "b").unlink()
    with pytest.raises(ValueError, match="b: missing"):
        files.verify(folder)


def test_verify_names_a_new_file(folder):
    (folder / "inner" / "c").write_bytes(b"")
    with pytest.raises(ValueError, match="inner/c: not in the manifest"):
        files.verify(folder)


def test_verify_names_a_folder_in_place_of_a_file(folder):
    (folder / "b").unlink()
    (folder / "b").mkdir()
    with pytest.raises(ValueError, match="b: cannot be read"):
        files.verify(folder)
