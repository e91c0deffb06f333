"""The drift report: each limit raises its own alarm, and the texts show the measured numbers."""

import dataclasses
import json
import math

import pytest

from prouter_jax.metrics import Fit
from prouter_jax.serving.drift import CalibrationDrift, ChoiceDrift, ChoiceShift, QueryDrift, UserDrift
from prouter_jax.serving.drift_report import Drift, advise, find_alarms, to_json, to_markdown

SHIFTS = [ChoiceShift("a|b", 0.25, 0.375, 0.05, 0.2), ChoiceShift("c", 0.75, 0.625, math.nan, math.nan)]
USUAL = Drift(
    decisions=200,
    repeated=3,
    users=UserDrift(users=40, new=4, new_share=0.125),
    queries=QueryDrift(queries=80, new=60, far=5, far_share=0.0625, limit=1.5, p_value=0.375),
    choices=ChoiceDrift(SHIFTS, moved=0.04, p_value=0.5, new_llm_share=0.0),
    calibration=CalibrationDrift(Fit(1.0, 0.05, 0.0625, 200), calibration_error_limit=0.05),
    validation=Fit(0.95, 0.1, 0.03, 100),
)


def _changed(part, **values):
    return dataclasses.replace(USUAL, **{part: dataclasses.replace(getattr(USUAL, part), **values)})


def _fit_changed(**values):
    return _changed("calibration", fit=dataclasses.replace(USUAL.calibration.fit, **values))


def test_a_drift_within_its_limits_gives_no_alarm():
    assert find_alarms(USUAL) == []
    assert advise(USUAL) == "No need to train again: everything is within its limits."


@pytest.mark.parametrize(
    ("drift", "clause"),
    [
        (_changed("users", new_share=0.26), "26.0 % of the decisions are of users that have no training decisions"),
        (_changed("queries", far_share=0.16, p_value=0.001), "16.0 % of the queries are far from all training queries"),
        (_changed("choices", moved=0.06, p_value=0.001), "6.0 % of the choices moved to other LLMs"),
        (_changed("choices", new_llm_share=0.26), "26.0 % of the choices are LLMs that are not in the training data"),
        (_fit_changed(log_loss=1.07), "log loss is 1.0700, on validation it was 0.9500"),
        (
            _fit_changed(calibration_error=0.081),
            "calibration error is 0.0810 (limit 0.0800: validation's plus",
        ),
    ],
)
def test_each_limit_alone_raises_its_alarm(drift, clause):
    (alarm,) = find_alarms(drift)
    assert alarm.startswith(clause)
    assert advise(drift) == f"Train again with this feedback in the data: {alarm}."
    assert find_alarms(dataclasses.replace(drift, decisions=29)) == []


@pytest.mark.parametrize(
    "drift",
    [
        _changed("queries", far_share=0.16, p_value=0.02),  # not significant
        _changed("queries", far_share=0.14, p_value=0.001),  # significant and small
        _changed("choices", moved=0.06, p_value=0.02),
        _changed("choices", moved=0.04, p_value=0.001),
        _fit_changed(log_loss=1.07, log_loss_margin=0.2),
        dataclasses.replace(_fit_changed(log_loss=9.0, calibration_error=0.9), validation=None),
        _fit_changed(log_loss=math.nan, log_loss_margin=math.nan, calibration_error=math.nan, decisions=0),
    ],
)
def test_small_insignificant_or_missing_values_raise_no_alarm(drift):
    assert find_alarms(drift) == []


def test_json_has_all_numbers_and_null_for_nan():
    values = json.loads(to_json(USUAL))
    assert values["choices"]["shifts"][1] == {"llm": "c", "expected": 0.75, "found": 0.625, "low": None, "high": None}
    assert (values["users"]["new"], values["validation"]["log_loss"]) == (4, 0.95)
    assert (values["alarms"], values["advice"], values["limits"]["new_users"]) == ([], advise(USUAL), 0.25)


def test_the_page_shows_the_numbers():
    page = to_markdown(USUAL, "Update 7")
    assert page.startswith("# Update 7\n\nNo need to train again")
    for line in (
        "| a\\|b | 25.0 % | 37.5 % | +12.5 | +5.0 to +20.0 |",
        "| c | 75.0 % | 62.5 % | -12.5 | – |",  # noqa: RUF001
        "| of these, farther than 1.5000 from all training queries | 5 |  |",
        "| log loss | 1.0000 | 0.9500 |",
        "| expected calibration error | 0.0625 | 0.0300 |",
    ):
        assert line in page
    assert "| log loss | 1.0000 | – |" in to_markdown(dataclasses.replace(USUAL, validation=None), "x")  # noqa: RUF001
