"""Measurements and tables made up for the tests of the protocol."""

from prouter_jax.evaluation.protocol.definition import Definition, Unit
from prouter_jax.evaluation.protocol.runner import Work, build_table

FACTS = {"versions": "none", "machine": "made up", "date": "2026-11-25", "commit": "abc"}


def measurement(seed=0, *, setting="cold", k=None, metric="accuracy", blind=None, full=None, facts=None, **scores):
    """One measurement: by policy either its score (also on validation) or all its values."""
    policies = {
        name: dict(value) if isinstance(value, dict) else {metric: value, "validation": value}
        for name, value in scores.items()
    }
    ends = {"blind": blind, "full": full} if full is not None else {}
    return {"setting": setting, "k": k, "seed": seed, "metric": metric, "policies": policies, "facts": facts or {},
            **ends}  # fmt: skip


def constant(seed: int, router: float, setting: str = "cold", k: int | None = None) -> dict:
    """What a unit measures: a router and two baselines whose differences vary a little from seed to seed."""
    wave = 0.001 * (seed % 3 - 1)
    return measurement(seed, setting=setting, k=k, blind=router - 0.1, full=router + 0.1, router=router + wave,
                       favourite=router - 0.01, ridge=router - 0.02 - wave, oracle=0.9)  # fmt: skip


def over_k(seeds=3, settings=1) -> list[dict]:
    """Measurements of `settings` settings at three k."""
    return [
        constant(seed, 0.4 + 0.05 * place, f"new users {setting}", k)
        for seed in range(seeds)
        for setting in range(settings)
        for place, k in enumerate((0, 3, 10))
    ]


def definition(name="choices", seeds=3, requirements=(), **more) -> Definition:
    """A table of `constant` units, one a seed."""
    units = [Unit(f"seed{seed}", constant, {"seed": seed, "router": 0.5}) for seed in range(seeds)]
    return Definition(name, f"Title of {name}", "A caption.", units, requirements, **more)


def table(measurements, asked=None, small=False):
    """The table of these measurements, as if its units had run."""
    records = [{"measurements": list(measurements), "provenance": FACTS, "seconds": 90.0}]
    return build_table(asked or definition(), Work(records, {}), small)
