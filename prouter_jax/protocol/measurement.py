"""What a unit may return: checked as soon as it is measured, not when hours later a table is made of it."""

from collections.abc import Mapping

from prouter_jax.report.types import ROUTER

METRICS = ("reward", "accuracy", "log_loss")
_REQUIRED = {"setting": str, "seed": int, "metric": str, "policies": Mapping}


def check_measurement(one: object) -> None:
    """Raises a ValueError, naming the field, unless `one` is a measurement as `Unit` describes it."""
    if not isinstance(one, Mapping):
        raise ValueError(f"measurement: expected a mapping, found {str(one)[:60]!r}")
    for name, kind in _REQUIRED.items():
        if not isinstance(one.get(name), kind):
            raise ValueError(f"measurement, {name}: expected {kind.__name__}, found {one.get(name)!r}")
    if one["metric"] not in METRICS:
        raise ValueError(f"measurement, metric: expected one of {', '.join(METRICS)}, found {one['metric']!r}")
    if not isinstance(one.get("k", ""), int | None):
        raise ValueError(f"measurement, k: expected a whole number or null, found {one.get('k', 'nothing')!r}")
    if ROUTER not in one["policies"]:
        raise ValueError(f"measurement, policies: expected {ROUTER!r}, found {', '.join(one['policies'])}")
    for end in ("blind", "full"):
        _check_number(one.get(end), end)
    for policy, values in one["policies"].items():
        _check_policy(policy, values, one["metric"])


def _check_policy(policy: str, values: Mapping, metric: str) -> None:
    if metric not in values or (policy == ROUTER and values[metric] is None):
        known = ", ".join(name for name, value in values.items() if value is not None)
        raise ValueError(f"measurement, policies, {policy}: expected {metric}, found {known or 'nothing'}")
    for name, value in values.items():
        if name != "settings":
            _check_number(value, f"policies, {policy}, {name}")


def _check_number(value, where: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"measurement, {where}: expected a number or null, found {str(value)[:60]}")
