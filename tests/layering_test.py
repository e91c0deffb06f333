"""The house has an order: a room imports only from rooms above it, and some things live in one room alone.

A module belongs to the room whose name it has or begins with: report_page to report, graph_build to graph_build.
"""

import ast
import graphlib
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1] / "prouter_jax"
WITHOUT_JAX = (
    *("config", "grouping", "interactions", "answer_style", "validation", "paths", "files", "copies", "terminal"),
    *("readers", "appended"),
    *("encoders", "store", "embedded", "splits"),
    *("decisions", "asking", "judges", "collect", "grading", "simulate", "new_llms", "metrics"),
)
ROOMS = (
    *WITHOUT_JAX,
    *("graph", "graph_build", "places", "world", "growing", "prepare", "policies"),
    *("processes", "sharding", "histories", "inputs", "scoring", "bayes", "gnn", "networks"),
    *("train_state", "progress", "profiling", "checkpoint", "train", "offline", "routing", "explain", "router"),
    *("provenance", "machine", "report", "datasets", "logs", "off_policy", "ahead", "speed", "evaluate", "summary"),
    *("experiment", "drift", "update", "protocol", "sweep"),
)
NO_JAX = {
    *(*WITHOUT_JAX, "policies", "report", "datasets", "logs", "off_policy", "evaluate", "summary", "drift"),
    *("protocol", "sweep"),
}
POLICIES_IN_JAX = {"policies.factorisation_fit", "policies.mlp_fit"}
JAX = {"jax", "flax", "optax", "jraph", "orbax"}


def _imports(path):
    """Full names of what a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            inner = ROOT.parent.joinpath(*node.module.split("."))
            yield from (f"{node.module}.{name.name}" if inner.is_dir() else node.module for name in node.names)


MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removeprefix("prouter_jax."): set(_imports(path))
    for path in sorted(ROOT.rglob("*.py"))
    if path.name != "__init__.py"
}


def _room(module):
    name = module.removeprefix("prouter_jax.").split(".")[0]
    found = [room for room in ROOMS if name == room or name.startswith(f"{room}_")]
    assert found, f"{module}: a new room; give it a place in ROOMS"
    return max(found, key=len)


def test_a_room_imports_only_from_itself_and_rooms_above():
    for module, imported in MODULES.items():
        for other in imported:
            if other.startswith("prouter_jax."):
                place, from_place = ROOMS.index(_room(module)), ROOMS.index(_room(other))
                assert from_place <= place, f"{module} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    inner = {
        module: {name.removeprefix("prouter_jax.") for name in imported if name.startswith("prouter_jax.")}
        for module, imported in MODULES.items()
    }
    graphlib.TopologicalSorter(inner).prepare()


def test_every_room_is_there():
    assert {_room(module) for module in MODULES} == set(ROOMS)


def test_only_checkpoints_know_orbax_and_nothing_knows_absl():
    for module, imported in MODULES.items():
        tops = {name.split(".")[0] for name in imported}
        assert "absl" not in tops, module
        assert "orbax" not in tops or _room(module) == "checkpoint", module
        if module not in POLICIES_IN_JAX and _room(module) in NO_JAX:
            assert not tops & JAX, module


def test_data_can_be_read_and_measured_without_loading_jax():
    modules = ", ".join(["sys", "prouter_jax", *(f"prouter_jax.{name}" for name in WITHOUT_JAX)])
    found = f"sorted({JAX | {'absl'}} & set(sys.modules))"
    code = f"import {modules}; sys.exit(str({found}) if {found} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
