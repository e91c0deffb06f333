"""Paths of this machine and of a bucket: made of what a user writes, and the same to whoever uses them."""

import pathlib
import sys

import fsspec
import pytest
from bucket_server import Bucket
from fsspec.registry import known_implementations

from prouter_jax.io import files
from prouter_jax.io.paths import (
    arrow_file,
    file_size,
    files_below,
    is_remote,
    is_same_file,
    list_folder,
    local_path,
    make_path,
    open_text,
    require_file,
    require_folder,
)


@pytest.fixture(params=["plain", "file", "bucket"])
def folder(request, tmp_path):
    """The same folder named as users may name it; made as `make_path` makes it."""
    if request.param == "bucket":
        return make_path(request.getfixturevalue("bucket") + "/a b")
    place = tmp_path / "a b"
    return make_path(str(place) if request.param == "plain" else place.as_uri())


def test_a_path_of_this_machine_is_one_of_pathlib(tmp_path):
    assert make_path("a/b") == pathlib.Path("a/b")
    assert make_path(tmp_path) == tmp_path
    spaced = tmp_path / "a b%"
    assert make_path(spaced.as_uri()) == spaced
    assert not is_remote(make_path(spaced.as_uri()))


def test_a_bucket_keeps_its_name_through_every_step(bucket):
    path = make_path(f"{bucket}/run") / "world" / "x.npy"
    assert str(path) == f"{path}" == "gs://bucket/run/world/x.npy"
    assert (path.name, path.suffix, str(path.parent)) == ("x.npy", ".npy", "gs://bucket/run/world")
    assert str(path.with_name("y")) == "gs://bucket/run/world/y"
    assert is_remote(path)
    assert make_path(path) == path
    assert make_path(f"{path}") == path


@pytest.mark.parametrize("text", ["s4://bucket/x", "gs://", "file://host/x", "http://a/b", "://x", "gs:///"])
def test_another_scheme_is_one_line(text):
    with pytest.raises(ValueError, match=rf"^{text}: expected a path of this machine, file:///FOLDER or gs://BUCKET"):
        make_path(text)


def test_a_bucket_without_its_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(known_implementations, "gs", {"class": "no_such_package.FileSystem", "err": "install it"})
    monkeypatch.delitem(sys.modules["fsspec.registry"].__dict__["_registry"], "gs", raising=False)
    with pytest.raises(ImportError, match=r"^gs://b/x: pip install 'prouter-jax\[gcs\]' to use gs://$"):
        make_path("gs://b/x")


def test_what_needs_this_machine_refuses_a_bucket(bucket, tmp_path):
    assert local_path(tmp_path.as_uri(), "locks") == tmp_path
    with pytest.raises(
        ValueError, match=r"^gs://bucket/x: expected a folder of this machine for locks, found a bucket$"
    ):
        local_path(f"{bucket}/x", "locks")


def test_what_is_in_a_folder(folder):
    assert list_folder(folder) == []
    (folder / "deep" / "er").mkdir(parents=True, exist_ok=True)
    for name in ("b", "a", "deep/er/c"):
        files.write_whole(folder / name, name)
    assert {path.name for path in list_folder(folder)} == {"a", "b", "deep"}
    assert all((folder / path.name) == path for path in list_folder(folder))
    assert list_folder(folder / "a") == []
    assert files_below(folder) == ["a", "b", "deep/er/c"]
    assert files_below(folder / "deep") == ["er/c"]


def test_sizes_texts_and_what_arrow_reads(folder):
    folder.mkdir(parents=True, exist_ok=True)
    files.write_whole(folder / "t", "\ufeffä\nb\n")
    assert file_size(folder / "t") == 8
    with open_text(folder / "t", encoding="utf-8-sig") as file:
        assert list(file) == ["ä\n", "b\n"]
    source = arrow_file(folder / "t")
    assert source.read() == (folder / "t").read_bytes() if is_remote(folder) else source == folder / "t"


def test_the_same_file_is_known_under_other_names(folder):
    folder.mkdir(parents=True, exist_ok=True)
    files.write_whole(folder / "a", "x")
    files.write_whole(folder / "b", "x")
    assert is_same_file(folder / "a", make_path(str(folder)) / "a")
    assert not is_same_file(folder / "a", folder / "b")
    assert not is_same_file(folder / "none", folder / "none")


def test_what_another_writer_left_in_a_bucket_is_seen_at_once(bucket):
    folder = make_path(f"{bucket}/run")
    files.write_whole(folder / "a", "x")
    assert len(list_folder(folder)) == 1
    assert fsspec.filesystem("gs").dircache.use_listings_cache is False
    Bucket().pipe_file("/bucket/run/b", b"y")
    assert {path.name for path in list_folder(folder)} == {"a", "b"}


def test_links_and_files_of_this_machine(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    assert files_below(tmp_path) == ["a", "link"]
    assert is_same_file(tmp_path / "a", tmp_path / "link" / "a")


def test_a_missing_file_or_folder_is_one_line_with_its_path(folder):
    folder.mkdir(parents=True, exist_ok=True)
    files.write_whole(folder / "a", "x")
    assert require_file(folder / "a") == folder / "a"
    assert require_folder(folder) == folder
    with pytest.raises(ValueError, match=f"^{folder}/none: expected a file, found none$"):
        require_file(folder / "none")
    with pytest.raises(ValueError, match=f"^{folder}/none: expected a folder of tables, found none$"):
        require_folder(folder / "none", "tables")
    with pytest.raises(ValueError, match=f"^{folder}/a: expected a folder, found a file$"):
        require_folder(folder / "a")
    with pytest.raises(ValueError, match=f"^{folder}: expected a file, found a folder$"):
        require_file(folder)
