"""A router whose trained numbers were accepted: histories, new users, new LLMs and explanations."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from prouter_jax.config import ExperimentConfig
from prouter_jax.evaluation.summary import map_users
from prouter_jax.serving.router import Router, Trained
from prouter_jax.sharding import to_host
from prouter_jax.training.run import initial_state, make_run, make_train_step
from prouter_jax.training.validation import run_scorer

TEXT = "What is 2 + 2?"


@pytest.fixture(scope="module")
def router(dataset, tiny_model) -> Router:
    config = ExperimentConfig(model=dataclasses.replace(tiny_model, preset="tuned"))
    run = make_run(config, dataset)
    state = initial_state(run, 0)
    for _ in range(6):
        state, _ = make_train_step(run)(state, run.world, {}, jax.random.key(0))
    params, random = to_host(state.params), np.random.default_rng(0)
    for name in run.network.tuned()[1].kinds():
        params[name] = params[name] + 0.1 * random.normal(size=params[name].shape).astype(np.float32)
    params["accepted"] = np.float32(1)
    scorer = run_scorer(run, params, dataset)
    trained = Trained(config.model, run.network, params, 1.0)
    return Router(trained, dataset.world, scorer, dataset.world.interactions, scorer.users)


def _write_choices(path, user, queries, llm):
    path.write_text("".join(json.dumps({"user_id": user, "query_id": q, "llm": llm}) + "\n" for q in queries))
    return path


def test_probabilities_are_probabilities(router):
    scores = router.score(["u0", "u1", "nobody"], [TEXT] * 3)
    assert scores.error == [None] * 3
    for shares in scores.probabilities:
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
    assert scores.probabilities[0] != scores.probabilities[2]


def test_a_history_moves_the_user_alone(router, tmp_path):
    llm = router.llms[0]
    queries = [str(name) for name in router.world.interactions.queries.ids[:8]]
    grown = router.with_history(_write_choices(tmp_path / "choices.jsonl", "fan", queries, llm))
    before, after = (each.score(["fan", "u0"], [TEXT] * 2) for each in (router, grown))
    assert after.basis == ["history", "history"]
    assert after.probabilities[0][llm] > before.probabilities[0][llm]
    assert after.probabilities[1] == before.probabilities[1]


def test_similar_users_are_a_property_of_an_explanation(router):
    properties = {row.name for row in router.explain("u0", TEXT, most=100).properties}
    assert "similar users" in properties


def test_histories_on_new_texts_and_new_llms_are_read(router, tmp_path):
    llm = router.llms[0]
    rows = [{"user_id": "fan", "query": f"What about {i}?", "llm": llm} for i in range(8)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = router.with_history(tmp_path / "texts.jsonl").score(["fan"], [TEXT]).probabilities[0]
    assert told[llm] > router.score(["fan"], [TEXT]).probabilities[0][llm]
    (tmp_path / "llms").mkdir()
    (tmp_path / "llms" / "llms.jsonl").write_text(json.dumps({"llm": "newest", "description": "A model."}))
    shares = router.with_llms(tmp_path / "llms").score(["u0", "nobody"], [TEXT] * 2).probabilities
    assert all(0 < row["newest"] < 1 and sum(row.values()) == pytest.approx(1, abs=1e-5) for row in shares)


def test_users_are_mapped_by_their_weights(router):
    found = map_users(router)
    assert found is not None
    assert np.isfinite(found.points).all()
