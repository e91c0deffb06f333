"""The names of `import prouter_jax`: each has an example that runs, and none is loaded before it is used."""

import doctest
import inspect
import pathlib
import shutil
import subprocess
import sys

import pytest

import prouter_jax
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.read_write import write_tables


@pytest.fixture(scope="module")
def folder(experiment, experiment_workdir, tmp_path_factory):
    """Where the examples run: a trained router in runs/embedded, a folder of tables in data/mine."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(experiment_workdir, folder / "runs" / "embedded")
    write_tables(build_embedded(experiment.data.embedded), folder / "data" / "mine")
    return folder


@pytest.mark.parametrize("name", prouter_jax.__all__)
def test_the_example_of_a_public_name_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (found,) = doctest.DocTestFinder(recurse=False).find(getattr(prouter_jax, name), name, globs={})
    assert found.examples
    assert found.examples[0].source.startswith("from prouter_jax import ")
    assert not doctest.DocTestRunner().run(found).failed


def test_importing_the_package_loads_nothing_else():
    code = "import sys, prouter_jax; print(*(name for name in sys.modules if name.split('.')[0] in ('jax', 'numpy')"
    code += " or name.startswith('prouter_jax.')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"


def test_the_names_are_listed_and_typed():
    assert dir(prouter_jax) == sorted([*prouter_jax.__all__, "__version__"])
    lines = [line.strip() for line in inspect.getsource(prouter_jax).splitlines() if "    from prouter_jax." in line]
    imported = {name: line.split()[1] for line in lines for name in line.split(" import ")[1].split(", ")}
    assert imported == {name: f"prouter_jax.{module}" for name, module in prouter_jax._MODULES.items()}
    assert sorted(imported) == sorted(prouter_jax.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        prouter_jax.nope  # noqa: B018


def test_the_version_is_told_in_one_place():
    root = pathlib.Path(prouter_jax.__file__).parents[1]
    assert 'version = { attr = "prouter_jax.__version__" }' in (root / "pyproject.toml").read_text()
