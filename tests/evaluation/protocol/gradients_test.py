"""What gradient steps bring: both policies come from one training run, and intervals are over users."""

import pathlib

import numpy as np
import pytest
from protocol_cases import measurement, table

from prouter_jax import metrics
from prouter_jax.evaluation.protocol.definition import ABLATION, Size, check_measurement
from prouter_jax.evaluation.protocol.measure import EM
from prouter_jax.evaluation.protocol.report import summary_table
from prouter_jax.evaluation.protocol.tables.ablations import gradient_tables
from prouter_jax.training.gate import Verdict


@pytest.mark.parametrize("accepted", [True, False])
def test_only_accepted_numbers_differ_from_em(tmp_path, monkeypatch, accepted):
    found = Verdict(0.5 if accepted else -0.5, 0.1, 6)
    monkeypatch.setattr("prouter_jax.training.validation.judge", lambda *_: found)
    (definition,) = gradient_tables(Size(True, tmp_path, tmp_path))
    unit = next(unit for unit in definition.units if "new_users" in unit.key)
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
    (definition,) = gradient_tables(Size(False, pathlib.Path(), pathlib.Path()))
    assert definition.kind == ABLATION
    columns, rows = summary_table(table(measured, definition))
    assert rows[0][columns.index("accepted")] == "2 of 3"
