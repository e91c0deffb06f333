"""What gradient steps bring: all policies come from one EM, and intervals are over users."""

import pathlib

import numpy as np
import pytest
from protocol_cases import measurement, table

from prouter_jax import metrics
from prouter_jax.data.rewards import choice_shares
from prouter_jax.dataset import prepare_dataset
from prouter_jax.evaluation.protocol.definition import (
    ABLATION,
    Size,
    cached_source,
    check_measurement,
    from_arguments,
)
from prouter_jax.evaluation.protocol.fitting import train_router
from prouter_jax.evaluation.protocol.measure import EM
from prouter_jax.evaluation.protocol.rows import summary_table
from prouter_jax.evaluation.protocol.tables.ablations import gradient_tables
from prouter_jax.model.inference import score_decisions
from prouter_jax.training.gate import Verdict


@pytest.mark.parametrize("accepted", [True, False])
def test_only_accepted_numbers_differ_from_em(tmp_path, monkeypatch, accepted):
    found = Verdict(0.5 if accepted else -0.5, 0.1, 6)
    monkeypatch.setattr("prouter_jax.training.validation.judge", lambda *_: found)
    gradients, _ = gradient_tables(Size(True, tmp_path, tmp_path))
    unit = next(unit for unit in gradients.units if "new_users" in unit.key)
    measured = unit.function(**{**unit.arguments, "ks": (0, 3)})
    for one in measured:
        check_measurement(one)
        router, em = (one["policies"][name] for name in ("router", EM))
        assert router["accepted"] == accepted
        assert (router["log_loss"] != em["log_loss"]) == accepted
        users = one["by_user"]["router"]["log_loss"]
        assert router["log_loss"] == pytest.approx(np.mean(list(users.values())))
    nobody, known = (one["policies"][EM]["log_loss"] for one in measured if one["metric"] == "log_loss")
    assert nobody != known


@pytest.mark.slow
def test_without_a_trained_number_a_variant_is_em_and_without_a_group_the_trained_router(tmp_path, monkeypatch):
    monkeypatch.setattr("prouter_jax.training.validation.judge", lambda *_: Verdict(0.5, 0.1, 6))
    _, ablation = gradient_tables(Size(True, tmp_path, tmp_path))
    arguments, (_, whole) = ablation.units[0].arguments, gradient_tables(Size(False, tmp_path, tmp_path))
    every = [name for group in whole.units[0].arguments["groups"].values() for name in group]
    groups = {"every number": every, "none": []}
    (measured,) = ablation.units[0].function(**{**arguments, "groups": groups, "ks": (0,)})
    check_measurement(measured)
    losses = {name: policy["log_loss"] for name, policy in measured["policies"].items()}
    assert losses["every number"] == pytest.approx(losses[EM], abs=1e-4)
    assert losses["none"] == losses["router"] != pytest.approx(losses[EM], abs=1e-3)
    assert losses["router"] == pytest.approx(_validation_loss(arguments, tmp_path), abs=1e-5)


def _validation_loss(arguments, folder):
    """The log loss of the router that `train` makes, of one user."""
    config = from_arguments(arguments["config"], folder)
    dataset = prepare_dataset(cached_source(config.data), config.data, arguments["seed"])
    decisions = dataset.labelled("validation").decisions
    assert len(set(decisions.user)) == 1
    scorer = train_router(config, dataset, arguments["seed"]).apply(dataset.world)
    logits = score_decisions(scorer, dataset, decisions)
    return metrics.mean(metrics.log_loss(logits, decisions.offered, choice_shares(decisions)))


def _measured(seed, gains, accepted):
    """Users' log losses, 1 by EM and lower by `gains` of the router."""
    by_user = {"router": {user: 1 - gain for user, gain in gains.items()}, EM: dict.fromkeys(gains, 1.0)}
    policies = {name: {"log_loss": float(np.mean([*users.values()]))} for name, users in by_user.items()}
    policies["router"]["accepted"] = accepted
    of_users = {name: {"log_loss": users} for name, users in by_user.items()}
    return measurement(seed, metric="log_loss", **policies) | {"by_user": of_users}


def test_a_user_s_seeds_are_one_cluster():
    gains = [{"a": 0.1, "b": 0.3}, {"a": 0.2, "c": 0.4}]
    built = table([_measured(0, gains[0], 1.0), _measured(1, gains[1], 0.0)])
    gain = built.groups[0].rows[EM].gains["log_loss"]
    expected = metrics.mean_over_clusters(np.array([0.1, 0.3, 0.2, 0.4]), np.array(["a", "b", "a", "c"]))
    assert (gain.over, gain.n) == ("users", 3)
    np.testing.assert_allclose([gain.mean, gain.low, gain.high], expected[:3])


def test_the_summary_counts_the_seeds_that_the_gate_accepted():
    measured = [_measured(seed, {"a": 0.1, "b": 0.2}, float(seed < 2)) for seed in range(3)]
    gradients, _ = gradient_tables(Size(False, pathlib.Path(), pathlib.Path()))
    assert gradients.kind == ABLATION
    columns, rows = summary_table(table(measured, gradients))
    assert rows[0][columns.index("accepted")] == "2 of 3"
