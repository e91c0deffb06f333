"""launch.reproduce: help at once, what is wrong in one line, exit code 1 after the other tables, README on demand."""

import pathlib
import sys

import processes
import pytest

ROOT = pathlib.Path(__file__).parents[2]
# Two tables in the place of the protocol's: one that is measured, one whose data are missing.
_WITH_TABLES = """
import dataclasses, sys, types
sys.path.insert(0, "tests")
from protocol_cases import definition
from prouter_jax.evaluation.protocol.definition import MissingData
def absent(seed, router):
    raise MissingData("votes: expected a folder of data, found none")
def definitions(size):
    assert isinstance(size.small, bool) and size.data.name
    votes = definition("votes")
    units = [dataclasses.replace(unit, function=absent) for unit in votes.units]
    return [dataclasses.replace(votes, units=units), definition("choices")]
sys.modules["prouter_jax.evaluation.protocol.tables"] = types.SimpleNamespace(definitions=definitions)
from launch import entry, reproduce
sys.argv[0] = "reproduce.py"
entry.start(reproduce.main)
"""


def _run(*arguments):
    return processes.run([sys.executable, *arguments], cwd=ROOT)


def _reproduce(workdir, *arguments):
    return _run("-c", _WITH_TABLES, f"--workdir={workdir}", *arguments)


def test_help_comes_at_once():
    code = "import sys, launch.reproduce; assert not {'jax', 'numpy'} & set(sys.modules)"
    assert _run("-c", code).returncode == 0
    said = processes.run_help("launch.reproduce")
    assert all(text in said for text in ("prouter reproduce --table=NAME", "--workdir:", "--document:"))


def test_all_tables_are_measured_and_a_failure_is_one_line_at_the_end(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results --><!-- /results -->")
    done = _reproduce(tmp_path / "run", "--table=all", f"--document={readme}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "reproduce: table votes: votes: expected a folder of data, found none"
    assert "Traceback" not in done.stderr
    assert done.stdout.splitlines() == [f"report: {tmp_path}/run/report/report.html", f"results: {readme}"]
    names = {path.name for path in (tmp_path / "run" / "tables").iterdir()}
    assert names == {"choices.json", "choices.md", "votes.json", "votes.md"}
    assert "Title of choices" in readme.read_text()


def test_one_table_is_measured_and_readme_can_be_written_later(tmp_path):
    done = _reproduce(tmp_path / "run", "--table=choices")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "run" / "tables" / "votes.json").exists()
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results --><!-- /results -->")
    # --readme is an older name of --document
    done = _run("-m", "launch.reproduce", f"--workdir={tmp_path}/run", f"--readme={readme}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Title of choices" in readme.read_text()


WRONG = {
    "no table": ([], "flag --table: expected the name of a table or all, found none"),
    "no tables for README": (["--document=README.md"], "run/tables: expected tables, found none"),
    "not a flag": (["choices"], "expected flags only"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line(tmp_path, name):
    arguments, found = WRONG[name]
    (tmp_path / "README.md").write_text("<!-- results --><!-- /results -->")
    arguments = [argument.replace("README.md", f"{tmp_path}/README.md") for argument in arguments]
    _assert_one_line(_run("-m", "launch.reproduce", f"--workdir={tmp_path}/run", *arguments), found)
    assert not (tmp_path / "run").exists()


def test_an_unknown_table_is_one_line_that_names_those_there_are(tmp_path):
    done = _reproduce(tmp_path / "run", "--table=nope")
    _assert_one_line(done, "flag --table: expected one of votes, choices, all; found 'nope'")
    assert not (tmp_path / "run").exists()


def _assert_one_line(done, found):
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert found in done.stderr
