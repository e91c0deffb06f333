"""Where there is no built data set, or nothing to read it with, one line says so; what is read: datasets_build_test."""

import sys

import pytest

from prouter_jax.data.tfds_reader import open_users, read_dataset
from prouter_jax.io import files


def test_a_folder_without_a_data_set_is_an_error(tmp_path, bucket):
    for read in (read_dataset, open_users):
        for place in (tmp_path, f"{bucket}/data"):
            with pytest.raises(ValueError, match=f"^{place}: expected one data set personal_routing, found none"):
                read(place)


def test_without_the_extra_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    files.write_manifest(tmp_path, {})
    with pytest.raises(ImportError, match=r"^data set: pip install 'prouter-jax\[tfds\]' first"):
        read_dataset(tmp_path)
