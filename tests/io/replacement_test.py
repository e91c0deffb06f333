"""A folder's files are replaced as one step: at every kill a reader finds all old files or all new ones."""

import itertools
import os
import shutil

import pytest

from prouter_jax.io import files, replacement
from prouter_jax.io.locks import lock_folder
from prouter_jax.io.paths import files_below
from prouter_jax.io.replacement import STAGE, current, own_files, replacing, settle

OLD = {"a": b"old", "b/c": b"kept", "d/e/f": b"gone", ".lock": b"", "x/.lost.0123456789abcdef.tmp": b"of a killed run"}
NEW = {"a": b"new", "b/c": b"kept", "g/h": b"added"}


class Killed(BaseException):
    """Stands for a kill: the code under test handles no such exception."""


@pytest.fixture
def folder(tmp_path):
    _write(tmp_path / "folder", OLD)
    return tmp_path / "folder"


def _write(folder, contents):
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        files.write_whole(folder / name, content)


def _read(folder):
    return {name: (folder / name).read_bytes() for name in own_files(folder)}


def _visible(folder):
    """What a reader finds, besides what only writers know."""
    found = _read(current(folder))
    return {name: content for name, content in found.items() if name != "manifest.json"}


def _replace(folder):
    with replacing(folder) as stage:
        _write(stage, NEW)


def test_all_files_but_the_lock_are_replaced(folder):
    _replace(folder)
    assert _read(folder) == NEW
    assert sorted(files_below(folder)) == sorted([*NEW, ".lock"])
    assert {path.name for path in folder.rglob("*") if path.is_dir()} == {"b", "g"}
    assert not settle(folder)


def test_after_an_error_the_old_files_stay(folder):
    before = files_below(folder)
    with pytest.raises(IsADirectoryError), replacing(folder) as stage:
        _write(stage, NEW | {"g": b"a folder"})
    assert files_below(folder) == before


def test_a_kill_leaves_the_old_or_the_new_files_and_the_next_run_ends_it(folder, monkeypatch):
    """Killed before each change of a file, one after the other."""
    old, seen = _visible(folder), []
    for left in itertools.count():
        _kill_after(left, monkeypatch)
        try:
            _replace(folder)
        except Killed:
            monkeypatch.undo()
            seen.append(_visible(folder) == NEW)
            assert _visible(folder) in (old, NEW)
            if not settle(folder):
                with replacing(folder) as stage:  # what the killed run has left is in nobody's way
                    assert files_below(stage) == []
                    _write(stage, NEW)
            assert _read(folder) == NEW
            _write(folder, OLD)
            (folder / "g" / "h").unlink()
        else:
            break
    assert seen == sorted(seen)
    assert set(seen) == {False, True}
    assert len(seen) > 10


def _kill_after(left, monkeypatch):
    """A kill cleans nothing up: no file changes any more."""
    numbers = itertools.count()

    def watched(function):
        def change(*arguments, **options):
            if next(numbers) >= left:
                raise Killed
            return function(*arguments, **options)

        return change

    for module, name in ((os, "replace"), (os, "link"), (os, "unlink"), (shutil, "rmtree"), (files, "write_whole")):
        monkeypatch.setattr(module, name, watched(getattr(module, name)))


def test_damaged_new_files_are_refused(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(replacement, "settle", lambda folder: None)
        _replace(folder)
    (folder / STAGE / "a").write_bytes(b"flipped")
    with pytest.raises(ValueError, match=r"\.new: expected the new files as they were written, found a: SHA-256"):
        settle(folder)


def test_a_lock_that_is_held_stays(folder):
    with lock_folder(folder):
        _replace(folder)
        assert (folder / ".lock").exists()


def test_in_a_bucket(folder, bucket):
    from prouter_jax.io.paths import make_path

    remote = make_path(f"{bucket}/run")
    for name in ("a", "b/c", "d/e/f"):
        files.write_whole(remote / name, OLD[name])
    _replace(remote)
    assert _read(remote) == NEW
