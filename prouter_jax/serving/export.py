"""Exports a router for those who serve it elsewhere: the scoring function as StableHLO, arrays, and a model card.

scoring.stablehlo        logits and costs of any number of pairs, serialised by `jax.export`
parameters.safetensors   its arrays
users.safetensors        states of the users, and of a user without history
manifest.json            what goes in and comes out: names and order of the arrays, LLMs, tasks, users, text encoder
README.md                the model card
"""

import importlib.util
import json
import os
import pathlib
from typing import Any

import jax
import numpy as np

import prouter_jax
from prouter_jax.config import ExperimentConfig
from prouter_jax.io import files
from prouter_jax.io.paths import local_path
from prouter_jax.model.scoring_function import logits, scoring_arrays
from prouter_jax.serving.router import Router

_PLATFORMS = ("cpu", "cuda", "tpu")
_COLD_START = "cold_start"


def export_router(
    router: Router,
    folder: str | os.PathLike,
    config: ExperimentConfig,
    licence: str,
    report: pathlib.Path | None = None,
) -> None:
    """Writes a router to a folder in forms that need no code of this package.

    Args:
      router: without LLMs added after training.
      folder: new or empty.
      config: of its training, for the model card.
      licence: of the data and thus of the model, for the model card.
      report: report.json of the training, for the numbers of the model card; None for no numbers.

    Raises:
      ValueError: if the folder has files, or LLMs were added.
      ImportError: if the extra is not installed; the message names it.
    """
    folder = local_path(folder, "an export")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected a new or an empty folder, found files")
    if router.scorer.applied is None:
        raise ValueError("export: expected a router without LLMs added after training; train it with them first")
    folder.mkdir(parents=True, exist_ok=True)
    applied = router.scorer.applied
    flat, tree = jax.tree_util.tree_flatten_with_path(scoring_arrays(applied, router.trained.temperature))
    named = {f"{number:03d}{jax.tree_util.keystr(path)}": np.asarray(leaf) for number, (path, leaf) in enumerate(flat)}
    files.write_whole(folder / "scoring.stablehlo", _stablehlo(router, applied.network, tree, list(named.values())))
    files.write_whole(folder / "parameters.safetensors", _safetensors(named))
    states = {"users": router.users, _COLD_START: router.scorer.cold_start_user}
    files.write_whole(folder / "users.safetensors", _safetensors({k: np.asarray(v) for k, v in states.items()}))
    manifest = _manifest(router, list(named))
    files.write_whole(folder / "manifest.json", json.dumps(manifest, indent=2) + "\n")
    files.write_whole(folder / "README.md", model_card(router, config, licence, _measured(report)))


def model_card(router: Router, config: ExperimentConfig, licence: str, measured: str) -> str:
    """Returns the model card: a YAML head as model hubs read it, then what the model is of and what it cannot do.

    Args:
      measured: the sentence on held-out decisions.
    """
    data = router.interactions
    counts = {"users": data.users, "queries": data.queries, "LLMs": data.llms, "tasks": data.tasks}
    sizes = ", ".join(f"{len(table.ids):,} {name}" for name, table in counts.items())
    head = {"library_name": "prouter_jax", "license": licence, "pipeline_tag": "text-classification"}
    head |= {"tags": ["llm-routing", "personalization", "jax", "flax"]}
    lines = ["---", *(f"{name}: {json.dumps(value)}" for name, value in head.items()), "---", ""]
    lines += [f"# {config.name or 'A personal LLM router'}", ""]
    lines += [
        f"Picks an LLM for a user and a query; preset `{config.model.preset}`, prouter_jax {prouter_jax.__version__}.",
        "",
    ]
    lines += ["## Data", f"{sizes}, {len(data.decisions.user):,} decisions. The licence above is that of the data.", ""]
    lines += ["## Measured", measured, ""]
    lines += ["## Use", "`manifest.json` names the inputs of `scoring.stablehlo` in their order:", "", _USE, ""]
    lines += ["## Limits", _LIMITS, ""]
    return "\n".join(lines)


def _measured(report: pathlib.Path | None) -> str:
    """The scores in a report, in a sentence."""
    if report is None or not report.exists():
        return "Nothing was measured on held-out decisions."
    found = json.loads(report.read_text())
    name, policies = found["facts"]["reward name"], found["policies"]
    router, blind = (policies[policy]["reward"]["mean"] for policy in ("router", "user_blind"))
    return f"On held-out decisions, {name}: {router:.3f}; without the users' histories {blind:.3f}."


def _stablehlo(router: Router, network, tree, leaves: list[np.ndarray]) -> bytes:
    """The scoring function, for any number of pairs."""

    def score(leaves, states, vectors, style, task):
        return logits(network, jax.tree_util.tree_unflatten(tree, leaves), states, vectors, style, task)

    (rows,) = jax.export.symbolic_shape("rows")
    vectors = router.world.vectors
    widths = (router.users.shape[1], vectors.query.shape[1], vectors.query_style.shape[1])
    arguments: list[Any] = [jax.ShapeDtypeStruct((rows, width), np.float32) for width in widths]
    arguments.append(jax.ShapeDtypeStruct((rows,), np.int32))
    _require_flatbuffers()
    constants = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    return bytes(jax.export.export(jax.jit(score), platforms=_PLATFORMS)(constants, *arguments).serialize())


def _require_flatbuffers() -> None:
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError("export: pip install 'prouter-jax[export]' first")


def _safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    from safetensors.numpy import save

    return save({name: array.copy(order="C") for name, array in arrays.items()})


def _manifest(router: Router, names: list[str]) -> dict[str, Any]:
    data, vectors = router.interactions, router.world.vectors
    inputs = {
        "parameters": names,
        "states": ["rows", router.users.shape[1]],
        "vectors": ["rows", vectors.query.shape[1]],
        "style": ["rows", vectors.query_style.shape[1]],
        "task": ["rows"],
    }
    return {
        "version": prouter_jax.__version__,
        "inputs": inputs,
        "outputs": {"logits": ["rows", len(router.llms)], "cost_usd": ["rows", len(router.llms)]},
        "llms": router.llms,
        "tasks": [*map(str, data.tasks.ids), None],
        "users": list(map(str, data.users.ids)),
        "encoder": router.world.encoder,
    }


_USE = """```python
import json
import jax, numpy as np
from safetensors.numpy import load_file

manifest, users = json.load(open("manifest.json")), load_file("users.safetensors")
score = jax.export.deserialize(bytearray(open("scoring.stablehlo", "rb").read()))
arrays = load_file("parameters.safetensors")
parameters = [arrays[name] for name in manifest["inputs"]["parameters"]]
# vectors and style of the texts: see `encoder`; task: row in `tasks`
logits, cost = score.call(parameters, users["users"][:1], vectors, style, np.array([0], np.int32))
```"""
_LIMITS = """It ranks the LLMs named in the manifest, and no others. It reads no new histories: users' states are those
of the export. It has no texts of queries, but states and ids of users, which are personal data."""
