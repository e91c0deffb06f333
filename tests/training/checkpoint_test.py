"""Checkpoints: bitwise round trips, what is kept, and no damage that goes unnoticed."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from bucket_server import Bucket
from flax import struct

from prouter_jax.io import files
from prouter_jax.training import checkpoint
from prouter_jax.training.checkpoint import Checkpoints


@struct.dataclass
class State:
    """Stands for the training state: nested parameters, an optimizer's tuples, a scalar, an empty and a large leaf."""

    step: jax.Array
    params: dict
    opt_state: optax.OptState
    best_reward: jax.Array


def make_state(seed: int = 0, width: int = 8) -> State:
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {
        "embed": {"kernel": jax.random.normal(keys[0], (5, width)), "bias": jnp.zeros(width, jnp.bfloat16)},
        "head": {"kernel": jax.random.normal(keys[1], (600, 512)), "empty": jnp.zeros((0, 3))},
        "flags": jnp.array([True, False]),
    }
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3))
    opt_state = jax.tree.map(lambda leaf: leaf + leaf.dtype.type(seed + 1), tx.init(params))
    return State(jnp.int32(seed), params, opt_state, jnp.float32(-jnp.inf))


TARGET = jax.eval_shape(make_state)


def assert_bitwise_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert isinstance(a, jax.Array)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def steps_in(folder: pathlib.Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def picture(folder: pathlib.Path) -> list:
    """Everything in a folder, with contents and times."""
    paths = [folder, *sorted(folder.rglob("*"))]
    return [(str(p), p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in paths]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with steps 10 (the best), 20 and 30, never changed: tests copy it."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    checkpoints = Checkpoints(folder)
    for step, metric in ((10, 0.9), (20, 0.5), (30, 0.7)):
        checkpoints.save(step, make_state(step), metric)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


# ---- Round trips.


def test_newest_is_bitwise_what_was_saved(saved):
    state, step, rejected = Checkpoints(saved).restore_newest(TARGET)
    assert (step, rejected) == (30, [])
    assert_bitwise_equal(state, make_state(30))


def test_best_is_bitwise_what_was_saved(saved):
    state, step = Checkpoints(saved).restore_best(TARGET)
    assert step == 10
    assert_bitwise_equal(state, make_state(10))


def test_numpy_state_and_concrete_target(tmp_path):
    Checkpoints(tmp_path).save(0, {"a": np.arange(3), "b": np.float32(2)})
    restored = Checkpoints(tmp_path).restore_newest({"a": np.zeros(3, np.int64), "b": np.float32(0)})
    assert restored is not None
    np.testing.assert_array_equal(restored[0]["a"], np.arange(3))


@pytest.mark.parametrize("shape", [(3,), (2**18,)])
def test_all_leaves_small_or_all_large(tmp_path, shape):
    state = [jnp.arange(np.prod(shape), dtype=jnp.float32)]
    Checkpoints(tmp_path).save(1, state)
    assert_bitwise_equal(Checkpoints(tmp_path).restore_newest(jax.eval_shape(lambda: state))[0], state)


def test_restored_state_can_be_donated(saved):
    state, _, _ = Checkpoints(saved).restore_newest(TARGET)
    moved = jax.jit(lambda s: jax.tree.map(lambda leaf: leaf, s), donate_argnums=0)(state)
    assert_bitwise_equal(moved, make_state(30))


# ---- What is kept.


def test_impossible_arguments(tmp_path):
    with pytest.raises(ValueError, match="keep: expected at least 1, found 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(ValueError, match="step: expected at least 0, found -1"):
        Checkpoints(tmp_path).save(-1, {"a": jnp.zeros(1)})


def test_keeps_the_best_and_the_newest(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    state = {"a": jnp.zeros(3)}
    for step, metric in ((1, 0.1), (2, 0.8), (3, 0.8), (4, None), (5, float("nan")), (6, 0.2)):
        checkpoints.save(step, state, metric)
    assert steps_in(tmp_path) == [2, 5, 6]
    assert checkpoints.restore_best(jax.eval_shape(lambda: state))[1] == 2
    assert sorted(os.listdir(tmp_path)) == ["2", "5", "6", "best.json"]


def test_a_step_saved_again_is_replaced(folder):
    Checkpoints(folder).save(30, make_state(31), 0.95)
    state, step, rejected = Checkpoints(folder).restore_newest(TARGET)
    assert (step, rejected) == (30, [])
    assert_bitwise_equal(state, make_state(31))
    assert Checkpoints(folder).restore_best(TARGET)[1] == 30
    assert sorted(os.listdir(folder)) == ["20", "30", "best.json"]


@pytest.mark.parametrize("step", [30, 40])
@pytest.mark.parametrize("moment", ["_write", "write_manifest", "write_sealed"])
def test_a_save_cut_short_leaves_an_older_step(folder, monkeypatch, moment, step):
    """The process ends as if killed where it calls `moment`."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint if moment == "_write" else files, moment, lambda *_: sys.exit(9))
        with pytest.raises(SystemExit):
            Checkpoints(folder, keep=3).save(step, make_state(1), 0.1)
    state, found, _ = Checkpoints(folder).restore_newest(TARGET)
    assert found == (20 if step == 30 else 30)
    assert_bitwise_equal(state, make_state(found))
    assert Checkpoints(folder).restore_best(TARGET)[1] == 10
    Checkpoints(folder, keep=4).save(50, make_state(50), 0.2)
    assert sorted(os.listdir(folder)) == ["10", "20", *(["30"] if step == 40 else []), "50", "best.json"]


def test_a_save_cut_short_before_it_deletes_is_whole(folder, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "delete", lambda *_: sys.exit(9))
        with pytest.raises(SystemExit):
            Checkpoints(folder, keep=1).save(40, make_state(40), 0.1)
    assert Checkpoints(folder).restore_newest(TARGET)[1:] == (40, [])
    Checkpoints(folder, keep=1).save(50, make_state(50), 0.2)
    assert sorted(os.listdir(folder)) == ["10", "50", "best.json"]


def test_a_save_survives_damaged_newer_steps(folder):
    (folder / "30" / "manifest.json").unlink()
    Checkpoints(folder, keep=1).save(25, make_state(25), 0.1)
    assert Checkpoints(folder).restore_newest(TARGET)[1] == 25


def test_what_was_not_saved_to_its_end_goes_when_a_save_starts_and_only_then(folder):
    for name in ("60/state.orbax-checkpoint-tmp", "50.orbax-checkpoint-tmp/state"):
        (folder / name).mkdir(parents=True)
    for name in (".best.json.17.tmp", "notes.txt", "007", "-1", "30.0", "1e3"):
        (folder / name).write_text("mine")
    before = picture(folder)
    _, step, rejected = Checkpoints(folder).restore_newest(TARGET)
    assert (step, rejected) == (30, ["step 60: manifest.json: missing"])
    Checkpoints(folder).restore_best(TARGET)
    assert picture(folder) == before
    Checkpoints(folder).save(40, make_state(40), 0.1)
    theirs = {"notes.txt", "007", "-1", "30.0", "1e3"}
    assert set(os.listdir(folder)) == {"10", "30", "40", "best.json"} | theirs


def test_a_first_save_that_was_cut_short_is_as_if_it_never_was(tmp_path):
    (tmp_path / "1" / "state").mkdir(parents=True)
    assert Checkpoints(tmp_path).restore_newest(TARGET) is None
    Checkpoints(tmp_path).save(1, make_state(1), 0.5)
    assert sorted(os.listdir(tmp_path)) == ["1", "best.json"]
    (tmp_path / "1" / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"no checkpoint in .* is sound: step 1: manifest\.json: missing"):
        Checkpoints(tmp_path).restore_newest(TARGET)


def test_reading_writes_nothing(folder, tmp_path):
    before = picture(folder)
    Checkpoints(folder).restore_newest(TARGET)
    Checkpoints(folder).restore_best(TARGET)
    assert picture(folder) == before
    assert Checkpoints(tmp_path / "none").restore_newest(TARGET) is None
    assert not (tmp_path / "none").exists()


# ---- Damage.


def test_one_flipped_byte_in_any_file_is_noticed(folder):
    step = folder / "30"
    paths = [path for path in sorted(step.rglob("*")) if path.is_file() and path.stat().st_size]
    assert {"_METADATA", "manifest.ocdbt", "manifest.json"} <= {path.name for path in paths}
    for path in paths:
        whole = path.read_bytes()
        for position in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
            state, found, rejected = Checkpoints(folder).restore_newest(TARGET)
            assert found == 20
            assert len(rejected) == 1
            assert rejected[0].startswith(f"step 30: {path.relative_to(step).as_posix()}: ")
        path.write_bytes(whole)
    assert_bitwise_equal(state, make_state(20))
    assert Checkpoints(folder).restore_newest(TARGET)[1] == 30


def a_data_file(step: pathlib.Path) -> pathlib.Path:
    return max((path for path in step.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def truncate(step):
    os.truncate(a_data_file(step), 100)


def remove_a_file(step):
    a_data_file(step).unlink()


def add_a_file(step):
    (step / "state" / "extra").write_bytes(b"")


def remove_the_manifest(step):
    (step / "manifest.json").unlink()


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


def make_a_file(step):
    shutil.rmtree(step)
    step.write_bytes(b"not a folder")


def keep_the_manifest_alone(step):
    shutil.rmtree(step / "state")


def take_another_step(step):
    shutil.rmtree(step)
    shutil.copytree(step.with_name("20"), step)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (truncate, "SHA-256 differs from the manifest"),
        (remove_a_file, ": missing"),
        (add_a_file, "state/extra: not in the manifest"),
        (remove_the_manifest, "manifest.json: missing"),
        (empty, "manifest.json: missing"),
        (keep_the_manifest_alone, ": missing"),
        (make_a_file, "manifest.json: missing"),
        (take_another_step, "manifest.json: written for step 20"),
    ],
)
def test_damage_is_rejected_with_a_reason(folder, damage, reason):
    damage(folder / "30")
    state, step, rejected = Checkpoints(folder).restore_newest(TARGET)
    assert step == 20
    assert_bitwise_equal(state, make_state(20))
    assert len(rejected) == 1
    assert rejected[0].startswith("step 30: ")
    assert reason in rejected[0]
    Checkpoints(folder).save(30, make_state(33), 0.3)
    assert_bitwise_equal(Checkpoints(folder).restore_newest(TARGET)[0], make_state(33))


def test_walks_back_over_several_and_names_each(folder):
    empty(folder / "30")
    truncate(folder / "20")
    _, step, rejected = Checkpoints(folder).restore_newest(TARGET)
    assert step == 10
    assert [reason[:8] for reason in rejected] == ["step 30:", "step 20:"]
    remove_a_file(folder / "10")
    with pytest.raises(ValueError, match=r"no checkpoint in .* is sound: step 30: .*; step 20: .*; step 10: "):
        Checkpoints(folder).restore_newest(TARGET)


@pytest.mark.parametrize("damage", [truncate, remove_a_file, add_a_file, remove_the_manifest, empty])
def test_a_damaged_best_is_an_error(folder, damage):
    damage(folder / "10")
    with pytest.raises(ValueError, match=r"^step 10: [^\n]*$"):
        Checkpoints(folder).restore_best(TARGET)


def test_a_deleted_best_is_an_error_even_after_more_saves(folder):
    shutil.rmtree(folder / "10")
    with pytest.raises(ValueError, match="step 10: the best checkpoint, but missing"):
        Checkpoints(folder).restore_best(TARGET)
    Checkpoints(folder).save(40, make_state(40), 0.8)
    with pytest.raises(ValueError, match="step 10: the best checkpoint, but missing"):
        Checkpoints(folder).restore_best(TARGET)
    Checkpoints(folder).save(50, make_state(50), 0.99)
    assert Checkpoints(folder).restore_best(TARGET)[1] == 50


def test_damage_elsewhere_does_not_touch_the_best(folder):
    empty(folder / "30")
    assert Checkpoints(folder).restore_best(TARGET)[1] == 10


def test_best_without_its_record(folder):
    (folder / "best.json").write_text("{")
    assert Checkpoints(folder).restore_best(TARGET)[1] == 10
    remove_the_manifest(folder / "20")
    with pytest.raises(ValueError, match=r"is not known: best\.json: not the JSON that was written; step 20: "):
        Checkpoints(folder).restore_best(TARGET)


def test_a_run_that_goes_on_writes_the_record_that_a_kill_left_out(folder):
    record = (folder / "best.json").read_bytes()
    (folder / "best.json").unlink()
    (folder / ".best.json.17.tmp").write_text("half")
    Checkpoints(folder).complete()
    assert (folder / "best.json").read_bytes() == record
    assert not (folder / ".best.json.17.tmp").exists()
    (folder / "best.json").unlink()
    remove_the_manifest(folder / "20")
    Checkpoints(folder).complete()  # step 20 may have been the best
    assert not (folder / "best.json").exists()
    Checkpoints(folder / "none").complete()
    assert not (folder / "none").exists()


def test_best_needs_a_checkpoint_and_a_metric(tmp_path):
    with pytest.raises(ValueError, match="there is no checkpoint with a metric in"):
        Checkpoints(tmp_path).restore_best(TARGET)
    Checkpoints(tmp_path).save(1, {"a": jnp.zeros(1)})
    with pytest.raises(ValueError, match="there is no checkpoint with a metric in"):
        Checkpoints(tmp_path).restore_best({"a": jax.ShapeDtypeStruct((1,), jnp.float32)})


# ---- A full disk.


def random_state(seed: int) -> dict:
    """Two MiB that do not compress."""
    return {"step": jnp.int32(seed), "large": jax.random.bits(jax.random.key(seed), (2**19,))}


def test_a_full_disk_ends_in_one_line_and_loses_nothing(small_disk):
    checkpoints, target = Checkpoints(small_disk / "checkpoints"), jax.eval_shape(lambda: random_state(0))
    checkpoints.save(1, random_state(1), 0.1)
    checkpoints.save(2, random_state(2), 0.2)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).free - 2**20))
    line = rf"step 3: expected to save it in {small_disk}/checkpoints, found .*No space left on device"
    with pytest.raises(OSError, match=line) as raised:
        checkpoints.save(3, random_state(3), 0.3)
    assert "\n" not in str(raised.value)
    state, step, _ = checkpoints.restore_newest(target)
    assert step == 2
    assert_bitwise_equal(state, random_state(2))
    assert checkpoints.restore_best(target)[1] == 2
    ballast.unlink()
    checkpoints.save(3, random_state(3), 0.3)
    assert_bitwise_equal(checkpoints.restore_newest(target)[0], random_state(3))
    assert checkpoints.restore_newest(target)[2] == []


def test_a_disk_without_room_for_a_single_byte(small_disk, capfd):
    checkpoints, target = Checkpoints(small_disk / "checkpoints"), jax.eval_shape(lambda: random_state(0))
    checkpoints.save(1, random_state(1), 0.1)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    with pytest.raises(OSError, match=r"step 2: expected to save it in .* found .*No space left on device"):
        checkpoints.save(2, {"step": jnp.int32(2)}, 0.3)
    assert checkpoints.restore_best(target)[1] == checkpoints.restore_newest(target)[1] == 1
    assert "Traceback" not in capfd.readouterr().err


# ---- A bucket: no folders, no renames.


@pytest.fixture
def in_bucket(bucket) -> str:
    """The steps of `saved`, in a bucket."""
    checkpoints = Checkpoints(f"{bucket}/run/checkpoints")
    for step, metric in ((10, 0.9), (20, 0.5), (30, 0.7)):
        checkpoints.save(step, make_state(step), metric)
    return f"{bucket}/run/checkpoints"


def test_a_bucket_keeps_the_best_and_the_newest(in_bucket):
    checkpoints = Checkpoints(in_bucket)
    checkpoints.save(40, make_state(40), 0.1)
    checkpoints.save(40, make_state(41), 0.1)
    state, step, rejected = checkpoints.restore_newest(TARGET)
    assert (step, rejected) == (40, [])
    assert_bitwise_equal(state, make_state(41))
    assert_bitwise_equal(checkpoints.restore_best(TARGET)[0], make_state(10))
    assert {name.split("/")[4] for name in Bucket.store} == {"10", "30", "40", "best.json"}


def test_every_damaged_or_missing_object_of_a_bucket_is_noticed(in_bucket):
    objects = [name for name in Bucket.store if "/30/" in name]
    assert len(objects) > 8
    for name in objects:
        content = Bucket.store[name].getvalue()
        for damaged in (content[: len(content) // 2], bytes([content[0] ^ 1]) + content[1:], None):
            if damaged is None:
                del Bucket.store[name]
            else:
                Bucket().pipe_file(name, damaged)
            _, step, rejected = Checkpoints(in_bucket).restore_newest(TARGET)
            assert step == 20
            assert rejected[0].startswith(f"step 30: {name.partition('/30/')[2]}: ")
        Bucket().pipe_file(name, content)
    assert Checkpoints(in_bucket).restore_newest(TARGET)[1:] == (30, [])


def test_a_save_to_a_bucket_that_was_cut_short_is_no_checkpoint(in_bucket, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_manifest", lambda *_: sys.exit(9))
        with pytest.raises(SystemExit):
            Checkpoints(in_bucket).save(40, make_state(40), 0.95)
    assert Checkpoints(in_bucket).restore_newest(TARGET)[1:] == (30, ["step 40: manifest.json: missing"])
    assert Checkpoints(in_bucket).restore_best(TARGET)[1] == 10
    Checkpoints(in_bucket).save(40, make_state(44), 0.95)
    assert_bitwise_equal(Checkpoints(in_bucket).restore_best(TARGET)[0], make_state(44))


# ---- Orbax alone.

WITH_ORBAX_ALONE = """
import json, sys
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import v1
folder, expected = sys.argv[1], np.load(sys.argv[2])
best = lambda metrics: metrics["metric"]
manager = ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(best_fn=best, read_only=True))
assert (list(manager.all_steps()), manager.latest_step(), manager.best_step()) == ([10, 20, 30], 30, 10)
restored = {
    "manager": manager.restore(30)["state"],
    "standard": ocp.StandardCheckpointer().restore(folder + "/30/state"),
    "v1": v1.load(folder + "/30"),
}
for door, state in restored.items():
    params, adam = state["params"], state["opt_state"][1][0]
    assert int(state["step"]) == 30, door
    assert int(adam["count"]) == 31, door
    for name, leaf in {"kernel": params["head"]["kernel"], "mu": adam["mu"]["head"]["kernel"]}.items():
        assert np.asarray(leaf).tobytes() == expected[name].tobytes(), (door, name)
assert not [name for name in sys.modules if name.startswith("prouter_jax")]
"""


def test_orbax_alone_opens_a_checkpoint(saved, tmp_path):
    state = make_state(30)
    kernel, mu = state.params["head"]["kernel"], state.opt_state[1][0].mu["head"]["kernel"]
    np.savez(tmp_path / "expected.npz", kernel=kernel, mu=mu)
    command = [sys.executable, "-c", WITH_ORBAX_ALONE, str(saved), str(tmp_path / "expected.npz")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- Another state than the one that was saved.


def test_checkpoints_of_an_older_version_are_one_clear_line(folder):
    for path in folder.glob("*/manifest.json"):
        values = files.read_manifest(path.parent)
        files.write_manifest(path.parent, {name: value for name, value in values.items() if name != "format"})
    line = rf"^{folder}: expected checkpoints of format 2, found format 1, which another version of [^\n]*$"
    with pytest.raises(ValueError, match=line):
        Checkpoints(folder).restore_newest(TARGET)
    with pytest.raises(ValueError, match=line):
        Checkpoints(folder).restore_best(TARGET)


def test_another_shape_is_one_clear_line(saved):
    line = r"^step 30: params/embed/bias: expected bfloat16\[9\], the checkpoint holds bfloat16\[8\]$"
    params = TARGET.params | {"embed": TARGET.params["embed"] | {"bias": jax.ShapeDtypeStruct((9,), jnp.bfloat16)}}
    with pytest.raises(ValueError, match=line):
        Checkpoints(saved).restore_newest(TARGET.replace(params=params))
    with pytest.raises(ValueError, match=r"step 10: .*: expected .*\b9\].*, the checkpoint holds "):
        Checkpoints(saved).restore_best(jax.eval_shape(lambda: make_state(width=9)))


def test_another_dtype_or_tree_is_one_clear_line(saved):
    checkpoints = Checkpoints(saved)
    with pytest.raises(ValueError, match=r"step: expected float32\[\], the checkpoint holds int32\[\]"):
        checkpoints.restore_newest(TARGET.replace(step=jax.ShapeDtypeStruct((), jnp.float32)))
    with pytest.raises(ValueError, match=r"params/new: expected float32.*, the checkpoint holds nothing"):
        checkpoints.restore_newest(TARGET.replace(params=TARGET.params | {"new": TARGET.best_reward}))
    with pytest.raises(ValueError, match=r"step 10: .*: expected nothing, the checkpoint holds "):
        checkpoints.restore_best(TARGET.replace(opt_state=()))


# ---- Other processes.

REPOSITORY = pathlib.Path(__file__).parents[2]

SAVER = """
import sys, jax.numpy as jnp
from prouter_jax.training.checkpoint import Checkpoints
checkpoints = Checkpoints(sys.argv[1])
target = {"step": jnp.int32(0), "values": jnp.zeros(1000), "large": jnp.zeros(2**18)}
restored = checkpoints.restore_newest(target)
step = restored[1] if restored else 0
while True:
    step += 1
    values, large = jnp.full(1000, float(step)), jnp.full(2**18, float(step))
    state = {"step": jnp.int32(step), "values": values, "large": large}
    checkpoints.save(step, state, metric=-abs(step - 3))
    print(step, flush=True)
"""


def kill_a_saver(folder: pathlib.Path, after: float) -> int:
    """Saves in a subprocess, kills it `after` seconds after its first save; returns the last step it reported."""
    command = [sys.executable, "-W", "error", "-c", SAVER, str(folder)]
    saver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert saver.stdout is not None
    first = saver.stdout.readline()
    time.sleep(after)
    saver.send_signal(signal.SIGKILL)
    rest, errors = saver.communicate()
    assert errors == ""
    return int((first + rest).split()[-1])


def check_after_kill(folder: pathlib.Path, reported: int):
    target = {"step": jnp.int32(0), "values": jnp.zeros(1000), "large": jnp.zeros(2**18)}
    state, step, rejected = Checkpoints(folder).restore_newest(target)
    assert rejected in ([], [f"step {step + 1}: manifest.json: missing"])
    assert step in (reported, reported + 1)
    for leaf in jax.tree.leaves(state):
        np.testing.assert_array_equal(leaf, np.full(leaf.shape, step))
    best, best_step = Checkpoints(folder).restore_best(target)
    assert best_step == min(step, 3)
    assert int(best["step"]) == best_step


def test_killed_while_saving(tmp_path):
    check_after_kill(tmp_path, kill_a_saver(tmp_path, after=0.31))


@pytest.mark.slow
def test_killed_while_saving_many_times(tmp_path):
    moments = random.Random(0)
    for _ in range(20):
        check_after_kill(tmp_path, kill_a_saver(tmp_path, after=moments.uniform(0, 0.3)))


ON_FOUR = """
import sys, jax, jax.numpy as jnp, numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
from prouter_jax.training.checkpoint import Checkpoints
mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
specs = {"kernel": P(None, "model"), "large": P("data", "model"), "step": P()}
shapes = {"kernel": (6, 8), "large": (512, 1024), "step": ()}
target = {k: jax.ShapeDtypeStruct(shapes[k], jnp.float32, sharding=NamedSharding(mesh, specs[k])) for k in specs}
state, step, _ = Checkpoints(sys.argv[1]).restore_newest(target)
assert len(state["kernel"].sharding.device_set) == 4
assert all(state[k].sharding == target[k].sharding for k in specs)
Checkpoints(sys.argv[1]).save(step + 1, jax.tree.map(lambda x: -x, state))
"""


def test_one_device_to_four_and_back(tmp_path):
    keys = jax.random.split(jax.random.key(0), 2)
    state = {
        "kernel": jax.random.normal(keys[0], (6, 8)),
        "large": jax.random.normal(keys[1], (512, 1024)),
        "step": jnp.float32(3),
    }
    Checkpoints(tmp_path).save(1, state)
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", "-c", ON_FOUR, str(tmp_path)]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    restored, step, _ = Checkpoints(tmp_path).restore_newest(jax.eval_shape(lambda: state))
    assert step == 2
    assert_bitwise_equal(restored, jax.tree.map(lambda leaf: -leaf, state))
