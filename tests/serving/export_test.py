"""Exports: scored without this package, they give what the router gives."""

import json
import subprocess
import sys

import numpy as np
import pytest
from router_cases import PRESETS, small_router

from prouter_jax.config import ExperimentConfig
from prouter_jax.serving.export import export_router

TEXTS = ["Name three rivers of Africa.", "Sort the words by length.", "Is 91 a prime number?"]
_SCORE = """
import json, sys
import jax, numpy as np
from safetensors.numpy import load_file

folder = sys.argv[1]
manifest, users = json.load(open(f"{folder}/manifest.json")), load_file(f"{folder}/users.safetensors")
score = jax.export.deserialize(bytearray(open(f"{folder}/scoring.stablehlo", "rb").read()))
arrays = load_file(f"{folder}/parameters.safetensors")
parameters = [arrays[name] for name in manifest["inputs"]["parameters"]]
asked = np.load(f"{folder}/../asked.npz")
states = np.concatenate([users["users"], users["cold_start"][None]])[asked["user"]]
logits, cost = score.call(parameters, states, asked["vectors"], asked["style"], asked["task"])
assert "prouter_jax" not in sys.modules
np.savez(f"{folder}/../found.npz", logits=logits, cost=cost)
"""


@pytest.fixture(scope="module", params=PRESETS)
def router(request, dataset, tiny_model):
    return small_router(dataset, tiny_model, request.param)


def test_an_export_scores_as_the_router_does(router, tmp_path):
    export_router(router, tmp_path / "out", ExperimentConfig(name="six users"), "cc-by-4.0")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    user = np.array([0, 1, len(manifest["users"])])  # the last one has no history
    places = router.pool.encode(TEXTS, np.array([-1, 0, 0]))
    features = {"vectors": places.vectors, "style": places.style, "task": places.task}
    np.savez(tmp_path / "asked.npz", user=user, **features)
    subprocess.run([sys.executable, "-c", _SCORE, tmp_path / "out"], check=True)
    with np.load(tmp_path / "found.npz") as arrays:
        found = dict(arrays)
    shares = np.exp(found["logits"]) / np.exp(found["logits"]).sum(1, keepdims=True)
    tasks = [manifest["tasks"][row] for row in places.task]
    assert tasks == [None, router.interactions.tasks.ids[0], router.interactions.tasks.ids[0]]
    expected = router.score([*manifest["users"][:2], "nobody"], TEXTS, task_ids=tasks).probabilities
    for row, of_llm in enumerate(expected):
        np.testing.assert_allclose(shares[row], [of_llm[name] for name in manifest["llms"]], atol=1e-4)
    ranking = router.route("nobody", TEXTS[2], task_id=tasks[2])
    costs = dict(zip(ranking.llms, ranking.costs, strict=True))
    np.testing.assert_allclose(found["cost"][2], [costs[name] for name in manifest["llms"]], rtol=1e-4)


def test_the_model_card_has_a_head_and_no_texts(router, tmp_path):
    export_router(router, tmp_path / "out", ExperimentConfig(name="six users"), "cc-by-4.0")
    card = (tmp_path / "out" / "README.md").read_text()
    head = card.split("---")[1].strip().splitlines()
    assert 'license: "cc-by-4.0"' in head
    assert "# six users" in card
    text = str(router.interactions.queries.texts[0])
    assert all(text.encode() not in path.read_bytes() for path in (tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match="an empty folder, found files"):
        export_router(router, tmp_path / "out", ExperimentConfig(), "unknown")
