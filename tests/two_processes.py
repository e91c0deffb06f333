"""What each of the processes of checkpoint_processes_test does: python two_processes.py INDEX PORT FOLDER WHAT."""

import json
import os
import sys

import jax
import numpy as np
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

SHAPES = {"users": (1024, 512), "wide": (512, 1024), "whole": (600, 512), "kernel": (6, 8), "step": ()}
SPECS = {"users": P("data"), "wide": P(None, "model"), "whole": P(), "kernel": P(None, "model"), "step": P()}


def make_values(seed):
    rng = np.random.default_rng(seed)
    return {name: np.asarray(rng.normal(size=shape), np.float32) for name, shape in SHAPES.items()}


def make_target(data, model):
    """On a mesh of all devices there are."""
    mesh = jax.make_mesh((data, model), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    return {
        name: jax.ShapeDtypeStruct(shape, np.float32, sharding=NamedSharding(mesh, SPECS[name]))
        for name, shape in SHAPES.items()
    }


def make_state(target, seed):
    values = make_values(seed)
    return {
        name: jax.make_array_from_callback(leaf.shape, leaf.sharding, values[name].__getitem__)
        for name, leaf in target.items()
    }


def check(state, target, seed):
    """Every part that this process holds, bit by bit."""
    values = make_values(seed)
    for name, leaf in state.items():
        assert leaf.sharding == target[name].sharding
        for part in leaf.addressable_shards:
            assert np.asarray(part.data).tobytes() == values[name][part.index].tobytes(), name


def watch(folder):
    """Notes what Python writes below a folder."""
    written = []

    def note(event, arguments):
        path = str(arguments[0]) if arguments else ""
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate")
        if (writes or (event == "open" and set(str(arguments[1])) & set("wax+"))) and path.startswith(folder):
            written.append(os.path.relpath(path, folder))

    sys.addaudithook(note)
    return written


def save(checkpoints):
    target = make_target(2, 2)
    written = watch(str(checkpoints.folder))
    for step in (1, 2):
        checkpoints.save(step, make_state(target, step), float(step))
    checkpoints.save(2, make_state(target, 22), 0.5)
    state, step, rejected = checkpoints.restore_newest(target)
    assert (step, rejected) == (2, [])
    check(state, target, 22)
    state, step = checkpoints.restore_best(target)
    assert step == 1
    check(state, target, 1)
    return written


def restore(checkpoints):
    """On other meshes of both processes; the newest step is damaged."""
    for data, model in ((4, 1), (1, 4)):
        target = make_target(data, model)
        state, step, rejected = checkpoints.restore_newest(target)
        check(state, target, 1)
        assert step == 1
    return rejected


def fail(checkpoints):
    """The first process finds no room for the manifest: both are told, and none waits for the other."""
    from prouter_jax.io import files

    def refuse(*_):
        raise OSError(28, "No space left on device")

    if jax.process_index() == 0:
        files.write_manifest = refuse
    try:
        checkpoints.save(9, make_state(make_target(2, 2), 9), 0.9)
    except OSError as error:
        return str(error)


def cut(checkpoints):
    """The second process alone cannot write its part; it ends without JAX's farewell, which waits for the first."""
    import resource
    import signal

    if jax.process_index() == 1:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, 2**19))
    try:
        checkpoints.save(9, make_state(make_target(2, 2), 9), 0.9)
    except OSError as error:
        print("said", json.dumps(str(error)), flush=True)
        os._exit(1)


if __name__ == "__main__":
    index, port, folder, what = sys.argv[1:]
    jax.distributed.initialize(
        f"127.0.0.1:{port}", num_processes=2, process_id=int(index), heartbeat_timeout_seconds=10
    )
    from prouter_jax.training.checkpoint import Checkpoints

    print("said", json.dumps({"save": save, "restore": restore, "fail": fail, "cut": cut}[what](Checkpoints(folder))))
