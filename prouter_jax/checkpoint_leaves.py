"""The leaves of a state on disk. The only importer of Orbax.

Orbax needs about a millisecond for an array however small, so small ones travel as one.
"""

import contextlib
import logging
import math
import pathlib
from collections.abc import Iterator

import jax
import numpy as np
import orbax.checkpoint as ocp

from prouter_jax.sharding import to_host

_SMALL_BYTES = 2**20
_END = b"."  # Orbax refuses an empty array


def write_leaves(path: pathlib.Path, leaves: list) -> None:
    """Writes the leaves of a state into a new folder; all processes of a run make this call.

    Raises:
      OSError, ValueError: if they cannot be written.
    """
    small = to_host([leaf for leaf in leaves if _is_small(leaf)])
    packed = np.frombuffer(b"".join([*(leaf.tobytes() for leaf in small), _END]), np.uint8)
    large = [leaf for leaf in leaves if not _is_small(leaf)]
    with _without_tracebacks(), ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        checkpointer.save(path, args=ocp.args.StandardSave([packed, *large]))


def restore_leaves(path: pathlib.Path, manifest: dict, target):
    """The state of a verified step, each leaf where `target` wants it.

    Args:
      path: what `write_leaves` wrote.
      manifest: its "leaves" are the `describe` of what was written, its "step" is for complaints.

    Raises:
      ValueError: if `target` has other leaves.
    """
    _check_leaves(manifest, describe(target))
    wanted, tree = jax.tree.flatten(target)
    wanted = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=_sharding(leaf)) for leaf in wanted]
    packed = np.empty(sum(_bytes(leaf) for leaf in wanted if _is_small(leaf)) + len(_END), np.uint8)
    large = [leaf for leaf in wanted if not _is_small(leaf)]
    with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
        packed, *large = checkpointer.restore(path, args=ocp.args.StandardRestore([packed, *large]))
    small, large = _unpack(packed, [leaf for leaf in wanted if _is_small(leaf)]), iter(large)
    return tree.unflatten(next(small if _is_small(leaf) else large) for leaf in wanted)


def describe(tree) -> list[list]:
    """Name, dtype and shape of every leaf, in the order of the leaves."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
    return [[name, str(leaf.dtype), list(leaf.shape)] for name, (_, leaf) in zip(names, leaves, strict=True)]


@contextlib.contextmanager
def _without_tracebacks() -> Iterator[None]:
    """What Orbax's threads raise is raised by its save as well; they log it too, twice and with their stacks."""
    logger = logging.getLogger("absl")
    logger.addFilter(_has_no_traceback)
    try:
        yield
    finally:
        logger.removeFilter(_has_no_traceback)


def _has_no_traceback(record: logging.LogRecord) -> bool:
    return not record.exc_info


def _unpack(packed: np.ndarray, wanted: list):
    start = 0
    for leaf in wanted:
        end = start + _bytes(leaf)
        value = np.frombuffer(packed[start:end].tobytes(), leaf.dtype).reshape(leaf.shape)
        yield jax.make_array_from_callback(leaf.shape, leaf.sharding, value.__getitem__)
        start = end


def _is_small(leaf) -> bool:
    return _bytes(leaf) < _SMALL_BYTES


def _bytes(leaf) -> int:
    return math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize


def _sharding(leaf):
    return getattr(leaf, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])


def _check_leaves(manifest: dict, wanted: list[list]) -> None:
    held = manifest["leaves"]
    if held == wanted:
        return
    of_held, of_wanted = ({name: f"{dtype}{shape}" for name, dtype, shape in leaves} for leaves in (held, wanted))
    for name in sorted(of_held.keys() | of_wanted.keys()):
        if of_held.get(name) != of_wanted.get(name):
            found, expected = of_held.get(name, "nothing"), of_wanted.get(name, "nothing")
            raise ValueError(f"step {manifest['step']}: {name}: expected {expected}, the checkpoint holds {found}")
    raise ValueError(f"step {manifest['step']}: the same leaves in another order than expected")
