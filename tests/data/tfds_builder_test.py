"""The data set personal_routing: built and read without TensorFlow, it is what it was built of, or an error."""

import copy
import dataclasses
import importlib.util
import pathlib
import sys

import jax
import numpy as np
import processes
import pytest
from table_files import write_rows

from prouter_jax import Router
from prouter_jax.data.interactions import no_decisions, no_feedback
from prouter_jax.data.public.personaroute import read_personaroute
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.data.tfds_builder import build_dataset
from prouter_jax.data.tfds_reader import open_users, read_dataset
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.experiment import run_experiment
from prouter_jax.io import files
from prouter_jax.io.paths import files_below
from prouter_jax.training.run import restore_best

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None, reason="needs tensorflow-datasets: the extra tfds"
)


def _assert_equal(found, expected):
    """Tables of the same values in the same order, and of the same types."""
    for field in dataclasses.fields(expected):
        before, after = getattr(expected, field.name), getattr(found, field.name)
        if field.name == "offers":
            np.testing.assert_array_equal(after, before, strict=True)
            continue
        for name, values in vars(before).items():
            if values is None:
                assert getattr(after, name) is None
            else:
                np.testing.assert_array_equal(getattr(after, name), values, err_msg=f"{field.name}.{name}", strict=True)


@pytest.fixture
def tables(two_users, tmp_path):
    """Rows of users in turn, times that need all their digits, candidates of all kinds, somebody without a decision."""
    data = two_users
    decisions = dataclasses.replace(data.decisions, time=np.array([1_700_000_000.123456, np.nan]))
    users = dataclasses.replace(data.users, ids=np.array(["u", "ü"], object))
    write_tables(data.replace(decisions=decisions, users=users), tmp_path / "tables")
    write_rows(tmp_path / "tables" / "votes.jsonl", [_vote("u", "z"), _vote("ü", "z"), _vote("u", "y")])
    write_rows(tmp_path / "tables" / "ratings.jsonl", [{"user_id": "w", "query_id": "x", "llm": "c", "rating": -2.5}])
    return tmp_path / "tables"


def _vote(user, query):
    return {"user_id": user, "query_id": query, "llm_a": "a", "llm_b": "b", "winner": "tie", "time": 5.0}


def test_a_built_data_set_is_what_it_was_built_of(tables, tmp_path):
    folder = build_dataset("tables", tables, tmp_path / "out")
    assert folder == tmp_path / "out" / "personal_routing" / "tables" / "1.0.0"
    expected = read_tables(tables)
    for path in (tmp_path / "out", folder):
        _assert_equal(read_dataset(path), expected)
    _assert_equal(read_dataset(folder, pool="p"), read_tables(tables, pool="p"))


def test_the_embedded_benchmark_and_vectors_survive(experiment, tmp_path):
    data = build_embedded(experiment.data.embedded)
    vectors = np.random.default_rng(0).normal(size=(len(data.queries.ids), 3)).astype(np.float32)
    data = data.replace(queries=dataclasses.replace(data.queries, vectors=vectors))
    write_tables(data, tmp_path / "tables")
    build_dataset("tables", tmp_path / "tables", tmp_path / "out")
    _assert_equal(read_dataset(tmp_path / "out"), read_tables(tmp_path / "tables"))


def test_another_format_and_a_single_file(tmp_path):
    """PersonaRoute-Bench brings vectors, preferences and responses."""
    rows = [
        {"user_id": user, "performance_preference": preference, "task_id": "math", "query": query, "llm": llm}
        | {"query_embedding": "[[0.5 -1.]]", "task_description_embedding": "[[1. 0.]]", "task_description": "Sums."}
        | {"effect": 0.5, "cost": 0.25, "ground_truth": "2", "metric": "em", "response": "two", "best_llm": "a"}
        for user, preference in (("0", 0.2), ("1", 0.7))
        for query in ("1+1", "2+2")
        for llm in ("a", "b")
    ]
    path = write_rows(tmp_path / "bench.csv", rows)
    build_dataset("personaroute", path, tmp_path / "out")
    _assert_equal(read_dataset(tmp_path / "out"), read_personaroute(path).data)


def test_data_without_users_or_decisions(two_users, tmp_path):
    data = two_users.replace(decisions=no_decisions(), feedback=no_feedback(), offers=np.zeros((0, 3), bool))
    for name, some in (
        ("none", data),
        ("nobody", data.replace(users=dataclasses.replace(data.users, ids=data.users.ids[:0], preference=np.zeros(0)))),
    ):
        write_tables(some, tmp_path / name)
        build_dataset("tables", tmp_path / name, tmp_path / f"{name}_out")
        _assert_equal(read_dataset(tmp_path / f"{name}_out"), read_tables(tmp_path / name))


def test_users_are_a_source_that_grain_takes(tables, tmp_path):
    import grain.python as grain

    build_dataset("tables", tables, tmp_path / "out")
    users = grain.MapDataset.source(open_users(tmp_path / "out"))
    assert [user["user_id"].decode() for user in users] == list(read_tables(tables).users.ids)
    assert users[0]["decisions"]["time"].tolist()[0] == 1_700_000_000.123456
    assert users[1]["feedback"]["value"].dtype == np.float32


def test_a_flipped_byte_a_lost_file_and_half_a_build_are_refused(tables, tmp_path):
    folder = build_dataset("tables", tables, tmp_path / "out")
    for name in files_below(folder):
        content = (folder / name).read_bytes()
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 1
        (folder / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=r"1\.0\.0: expected a data set as it was built, found"):
            read_dataset(tmp_path / "out")
        (folder / name).write_bytes(content)
    (folder / "manifest.json").unlink()
    with pytest.raises(ValueError, match="expected one data set personal_routing, found none"):
        read_dataset(tmp_path / "out")
    build_dataset("tables", tables, tmp_path / "out")  # what a killed build left is no obstacle
    with pytest.raises(ValueError, match="expected no data set yet, found one"):
        build_dataset("tables", tables, tmp_path / "out")


def test_a_data_set_that_names_code_is_refused_before_anything_is_imported(tables, tmp_path, monkeypatch):
    """TFDS imports the module of every feature that features.json names, and anybody can write a manifest."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "named_by_data.py").write_text("raise SystemExit('imported')")
    folder = build_dataset("tables", tables, tmp_path / "out")
    path = folder / "features.json"
    path.write_text(path.read_text().replace("tensorflow_datasets.core.features.text_feature", "named_by_data"))
    (folder / files.MANIFEST).unlink()
    files.write_manifest(folder, {"format": "tables"})
    with pytest.raises(ValueError, match=r"features\.json: expected the features of personal_routing, found others$"):
        read_dataset(folder)


def test_of_several_data_sets_one_is_named(tables, tmp_path):
    folder = build_dataset("tables", tables, tmp_path / "out")
    other = folder.parents[1] / "other" / "1.0.0"
    other.mkdir(parents=True)
    (other / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    with pytest.raises(ValueError, match=r"expected one data set .*other/1\.0\.0, .*tables/1\.0\.0"):
        read_dataset(tmp_path / "out")
    assert len(read_dataset(folder).queries.ids) == 3


def test_the_card_counts_and_names_sources(tables, tmp_path):
    folder = build_dataset("tables", tables, tmp_path / "out", licence="CC BY 4.0 | mine")
    card = (folder / "card.md").read_text()
    assert "Licence of the data: CC BY 4.0 \\| mine" in card
    data = read_tables(tables)
    for what, number in (("users", 3), ("decisions", len(data.decisions.user)), ("feedback: rating", 2)):
        assert f"| {what} | {number} |" in card
    assert "| votes.jsonl | " in card
    assert "| tables/outcomes.parquet | " in card


@pytest.mark.parametrize(
    ("name", "source", "found"),
    [
        ("nope", ".", "format: expected one of alpacaeval, .*, tables, found 'nope'"),
        ("tables", "none", "none: expected data of format tables, found none"),
        ("tables", ".", "table queries: expected queries.parquet"),
    ],
)
def test_what_cannot_be_built_is_an_error_and_leaves_nothing(tmp_path, name, source, found):
    (tmp_path / "in").mkdir()
    with pytest.raises(ValueError, match=found):
        build_dataset(name, tmp_path / "in" / source, tmp_path / "out")
    assert not [path for path in files_below(tmp_path) if "manifest" in path]


@pytest.fixture
def configs(experiment, tmp_path):
    """The same data by way of tables, and of a data set built of them."""
    write_tables(build_embedded(experiment.data.embedded), tmp_path / "tables")
    build_dataset("tables", tmp_path / "tables", tmp_path / "out")
    found = []
    for source, path in (("tables", tmp_path / "tables"), ("tfds", tmp_path / "out")):
        config = copy.deepcopy(experiment)
        config.data.source, config.data.path = source, str(path)
        found.append(config)
    return found


def test_what_is_trained_on_is_what_the_tables_hold(configs):
    one, other = (prepare_dataset(read_source(config.data), config.data, 0) for config in configs)
    assert one.world.digest() == other.world.digest()
    np.testing.assert_array_equal(one.parts.test, other.parts.test)
    np.testing.assert_array_equal(one.vectors.query, other.vectors.query)


@pytest.mark.slow
@pytest.mark.parametrize("users_per_step", [0, 8])
def test_training_on_it_is_training_on_the_tables(configs, tmp_path, users_per_step):
    found = []
    for config in configs:
        config.train.users_per_step, workdir = users_per_step, tmp_path / config.data.source
        report = run_experiment(config, workdir)
        params = restore_best(config, Router.load(workdir).trained.network, workdir).params
        found.append((params, report.policies["router"].reward.mean))
    jax.tree.map(np.testing.assert_array_equal, *found)


_WITHOUT_TENSORFLOW = """
import sys
from prouter_jax.data.tfds_builder import build_dataset
from prouter_jax.data.tfds_reader import read_dataset
build_dataset("tables", sys.argv[1], sys.argv[2])
read_dataset(sys.argv[2])
sys.exit(str([name for name in ("tensorflow", "jax", "torch") if name in sys.modules]).strip("[]") or 0)
"""


def test_no_tensorflow_is_needed(tables, tmp_path):
    command = [sys.executable, "-c", _WITHOUT_TENSORFLOW, str(tables), str(tmp_path / "out")]
    done = processes.run(command, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_the_command_builds(tables, tmp_path):
    command = [sys.executable, "-m", "launch.build_dataset", "--format=tables", f"--out={tmp_path}/out"]
    done = processes.run([*command, f"--input={tables}"], cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"built: {tmp_path}/out/personal_routing/tables/1.0.0"
    done = processes.run([*command, f"--input={tmp_path}/none"], cwd=ROOT)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
