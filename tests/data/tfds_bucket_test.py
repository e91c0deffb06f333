"""The data set personal_routing in a bucket: the bytes of one on a disk, whole or not there, read back as it was."""

import copy
import dataclasses
import gc
import importlib.util
import tempfile

import numpy as np
import pytest
from bucket_server import Bucket

from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.data.tfds_builder import build_dataset
from prouter_jax.data.tfds_reader import open_users, read_dataset
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.io.paths import files_below, make_path

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None, reason="needs tensorflow-datasets: the extra tfds"
)
VERSION = "personal_routing/tables/1.0.0"


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """Where copies go for a while."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def _left(temporary):
    """Without the empty folders that TFDS itself leaves."""
    return [path for path in temporary.iterdir() if not path.name.endswith("tfds")]


def _contents(folder):
    return {name: (folder / name).read_bytes() for name in files_below(folder)}


@pytest.mark.parametrize("scheme", ["file", "bucket"])
def test_what_is_built_in_a_bucket_of_one_in_a_bucket_is_what_a_disk_has(
    two_users, bucket, tmp_path, temporary, scheme
):
    place = bucket if scheme == "bucket" else (tmp_path / "there").as_uri()
    for folder in (f"{place}/in", tmp_path / "in"):
        write_tables(two_users, folder)
    built = build_dataset("tables", f"{place}/in", f"{place}/out")
    assert str(built) == str(make_path(f"{place}/out/{VERSION}"))
    build_dataset("tables", tmp_path / "in", tmp_path / "out")
    assert _contents(built) == _contents(tmp_path / "out" / VERSION)
    with pytest.raises(ValueError, match=r"out/.*1\.0\.0: expected no data set yet, found one"):
        build_dataset("tables", f"{place}/in", f"{place}/out")
    expected = read_tables(tmp_path / "in")
    for path in (f"{place}/out", f"{place}/out/{VERSION}"):
        found = read_dataset(path)
        np.testing.assert_array_equal(found.offers, expected.offers, strict=True)
        for table in ("users", "queries", "llms", "outcomes", "decisions", "feedback"):
            for name, values in dataclasses.asdict(getattr(expected, table)).items():
                np.testing.assert_array_equal(getattr(getattr(found, table), name), values)
    assert _left(temporary) == []


def test_the_copy_is_there_as_long_as_users_are_read(two_users, bucket, temporary):
    write_tables(two_users, f"{bucket}/in")
    build_dataset("tables", f"{bucket}/in", f"{bucket}/out")
    users = open_users(f"{bucket}/out")
    Bucket.store.clear()
    assert len(_left(temporary)) == 1
    assert [user["user_id"].decode() for user in users] == list(two_users.users.ids)
    del users
    gc.collect()
    assert _left(temporary) == []


def test_half_a_data_set_and_a_damaged_one_do_not_count(two_users, bucket, temporary, monkeypatch):
    write_tables(two_users, f"{bucket}/in")
    put, sent = Bucket.put_file, []

    def killed(self, here, there, **options):
        if there.endswith("manifest.json"):
            raise KeyboardInterrupt
        sent.append(there)
        put(self, here, there, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put_file", killed)
        with pytest.raises(KeyboardInterrupt):
            build_dataset("tables", f"{bucket}/in", f"{bucket}/out")
    assert len(sent) == len(files_below(make_path(f"{bucket}/out/{VERSION}"))) > 5
    with pytest.raises(ValueError, match="expected one data set personal_routing, found none"):
        read_dataset(f"{bucket}/out")
    left = make_path(f"{bucket}/out/{VERSION}/of a killed build")
    left.write_bytes(b"x")
    folder = build_dataset("tables", f"{bucket}/in", f"{bucket}/out")
    assert not left.exists()
    for name in files_below(folder):
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ValueError, match=rf"^{bucket}/out/{VERSION}: expected a data set as it was built, found"):
            read_dataset(f"{bucket}/out")
        (folder / name).write_bytes(content)
    read_dataset(f"{bucket}/out")
    assert _left(temporary) == []


def test_what_is_trained_on_is_what_the_tables_hold(experiment, bucket):
    write_tables(build_embedded(experiment.data.embedded), f"{bucket}/in")
    build_dataset("tables", f"{bucket}/in", f"{bucket}/out")
    worlds = []
    for source, path in (("tables", f"{bucket}/in"), ("tfds", f"{bucket}/out")):
        config = copy.deepcopy(experiment)
        config.data.source, config.data.path = source, path
        worlds.append(prepare_dataset(read_source(config.data), config.data, 0).world)
    assert worlds[0].digest() == worlds[1].digest()


def test_a_source_that_is_not_there_is_one_line(bucket):
    with pytest.raises(ValueError, match=r"^gs://bucket/none: expected data of format tables, found none$"):
        build_dataset("tables", f"{bucket}/none", f"{bucket}/out")
