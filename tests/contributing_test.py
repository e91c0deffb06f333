"""CONTRIBUTING, CITATION and LICENSE say what is true; readme_test checks the paths and commands of CONTRIBUTING."""

import hashlib
import pathlib
import re

import layering_test
import yaml

import prouter_jax

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()


def test_folders_stand_in_the_order_of_their_layers():
    rows = re.findall(r"^\| `prouter_jax/(\w+)(?:/|\.py)` \|", TEXT, re.M)
    assert rows == list(layering_test.LAYERS)


def test_names_are_in_the_files_that_they_are_said_to_be_in():
    named = re.findall(r"`([\w.]+)`\s(?:of|in)\s`([\w/]+\.py)`", TEXT)
    assert len(named) >= 7
    for name, path in named:
        assert re.search(rf"\b{name.split('.')[-1]}\b", (ROOT / path).read_text()), f"{path}: {name}"


def test_the_licence_is_apache_2():
    # of https://www.apache.org/licenses/LICENSE-2.0.txt
    expected = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == expected


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["version"] == prouter_jax.__version__
    assert f"## [{prouter_jax.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
