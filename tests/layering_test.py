"""Layers: a room imports only from itself and from rooms above it; some libraries are used in one room alone.

A room is a folder or a module at the top level of prouter_jax/; `LAYERS` lists them from the bottom of the stack up.
"""

import ast
import graphlib
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[1] / "prouter_jax"
LAYERS = (
    *("io", "config", "config_fields", "compilation", "sharding", "data", "llm", "metrics", "search"),
    *("graph", "dataset", "model", "training"),
    *("serving", "report", "aot", "evaluation", "experiment", "sweep"),
)
WITHOUT_JAX = {"io", "config", "config_fields", "data", "llm", "metrics", "report", "search", "evaluation", "sweep"}
# modules of these rooms that compute with JAX all the same
IN_JAX = {"data.batches", "data.query_features"} | {
    f"evaluation.baselines.{name}" for name in ("contrastive", "descent", "factorisation", "graph_router", "mlp")
}
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
    room = module.removeprefix("prouter_jax.").split(".")[0]
    room = "training" if room.startswith("checkpoint") else room
    assert room in LAYERS, f"{module}: a new room; give it a place in LAYERS"
    return room


def test_a_room_imports_only_from_itself_and_rooms_above():
    for module, imported in MODULES.items():
        for other in imported:
            if other.startswith("prouter_jax."):
                place, from_place = LAYERS.index(_room(module)), LAYERS.index(_room(other))
                assert from_place <= place, f"{module} imports {other}"


def test_no_module_imports_itself_by_way_of_others():
    inner = {
        module: {name.removeprefix("prouter_jax.") for name in imported if name.startswith("prouter_jax.")}
        for module, imported in MODULES.items()
    }
    graphlib.TopologicalSorter(inner).prepare()


def test_every_room_is_there():
    assert {_room(module) for module in MODULES} == set(LAYERS)


def test_only_checkpoints_know_orbax_and_nothing_knows_absl():
    for module, imported in MODULES.items():
        tops = {name.split(".")[0] for name in imported}
        assert "absl" not in tops, module
        assert "orbax" not in tops or module == "training.checkpoint", module
        if module not in IN_JAX and _room(module) in WITHOUT_JAX:
            assert not tops & JAX, module


def test_data_can_be_read_and_measured_without_loading_jax():
    modules = ", ".join(["sys", "prouter_jax", *(f"prouter_jax.{name}" for name in WITHOUT_JAX)])
    found = f"sorted({JAX | {'absl'}} & set(sys.modules))"
    code = f"import {modules}; sys.exit(str({found}) if {found} else 0)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)


def test_packages_that_few_runs_need_load_late():
    late = {
        "scipy.special",
        "scipy.sparse",
        "scipy.optimize",
        "orbax.checkpoint",
        "matplotlib",
        "sklearn",
        "optuna",
    }
    code = "import sys, prouter_jax.experiment, prouter_jax.serving.batch.score"
    found = f"sorted({late} & set(sys.modules))"
    subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(str({found}) if {found} else 0)"], check=True, cwd=ROOT.parent
    )
