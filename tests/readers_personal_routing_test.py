"""Where there is no built data set, or nothing to read it with, one line says so; what is read: datasets_build_test."""

import sys

import pytest

from prouter_jax import files
from prouter_jax.readers.personal_routing import open_users, read_dataset


def test_a_folder_without_a_data_set_is_an_error(tmp_path):
    for read in (read_dataset, open_users):
        with pytest.raises(ValueError, match="expected one data set personal_routing, found none"):
            read(tmp_path)


def test_a_bucket_is_refused(bucket):
    with pytest.raises(ValueError, match="expected a folder of this machine for a data set, found a bucket"):
        read_dataset(f"{bucket}/data")


def test_without_the_extra_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    files.write_manifest(tmp_path, {})
    with pytest.raises(ImportError, match=r"^data set: pip install 'prouter-jax\[tfds\]' first"):
        read_dataset(tmp_path)
