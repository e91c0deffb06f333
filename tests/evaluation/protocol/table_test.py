"""Groups: paired differences and shares as plain numpy has them, groups in order, contradictions named."""

import math

import numpy as np
import pytest
import scipy.stats
from protocol_cases import measurement

from prouter_jax.evaluation.protocol.definition import check_measurement
from prouter_jax.evaluation.protocol.table import baselines, build_groups, join_facts
from prouter_jax.report.types import SeedStatistics

RNG = np.random.default_rng(0)
ROUTER, OTHER = 0.5 + RNG.normal(0, 0.05, 5), 0.45 + RNG.normal(0, 0.05, 5)
BLIND, FULL = 0.3 + RNG.normal(0, 0.01, 5), 0.6 + RNG.normal(0, 0.01, 5)


def _groups(metric="accuracy"):
    return build_groups(
        measurement(seed, metric=metric, router=ROUTER[seed], ridge=OTHER[seed], blind=BLIND[seed], full=FULL[seed])
        for seed in (3, 1, 0, 4, 2)
    )


@pytest.mark.parametrize(("metric", "better"), [("accuracy", 1), ("reward", 1), ("log_loss", -1)])
def test_gains_are_differences_of_the_same_seed_with_students_interval(metric, better):
    (group,) = _groups(metric)
    found = group.rows["ridge"].gains[metric]
    differences = better * (ROUTER - OTHER)
    low, high = scipy.stats.t.interval(0.95, 4, differences.mean(), scipy.stats.sem(differences))
    np.testing.assert_allclose([found.mean, found.low, found.high], [differences.mean(), low, high])
    assert (found.policy, found.against, found.over, found.n) == ("router", "ridge", "seeds", 5)
    assert group.seeds == [0, 1, 2, 3, 4]
    assert group.rows["router"].metrics[metric].values == list(ROUTER)
    assert group.rows["router"].gains == {}


def test_the_share_is_a_ratio_of_means():
    (group,) = _groups()
    share = group.rows["router"].share
    assert share.mean == pytest.approx((ROUTER - BLIND).mean() / (FULL - BLIND).mean())
    assert share.low < share.mean < share.high
    assert group.blind.mean == pytest.approx(BLIND.mean())
    assert group.full.spread == pytest.approx(np.std(FULL, ddof=1))


def test_without_ends_there_is_no_share():
    (group,) = build_groups([measurement(router=0.5, ridge=0.4)])
    assert math.isnan(group.rows["router"].share.mean)
    assert math.isnan(group.blind.mean)


def test_settings_keep_their_order_and_k_rises():
    units = [("warm", 10), ("warm", 3), ("cold", None), ("cold", 0), ("warm", 0)]
    groups = build_groups(measurement(setting=setting, k=k, router=1.0) for setting, k in units)
    assert [(group.setting, group.k) for group in groups] == [
        *(("warm", k) for k in (0, 3, 10)),
        *(("cold", k) for k in (None, 0)),
    ]


def test_the_best_baseline_is_the_best_on_validation_not_on_the_test():
    values = {"ridge": (0.3, 0.5), "knn": (0.4, 0.4), "router": (0.2, 0.9), "oracle": (0.9, 0.9)}
    policies = {name: {"accuracy": test, "validation": seen} for name, (test, seen) in values.items()}
    (group,) = build_groups([measurement(**policies)])
    assert group.best_baseline == "ridge"
    assert baselines(group) == ["ridge", "knn"]
    (group,) = build_groups([measurement(metric="log_loss", **{
        name: {"log_loss": test, "validation": seen} for name, (test, seen) in values.items()})])  # fmt: skip
    assert group.best_baseline == "knn"


def test_a_baseline_without_validation_at_one_seed_is_not_the_best():
    seeds = [
        measurement(0, router=0.5, ridge=0.4, knn={"accuracy": 0.9, "validation": 0.9}),
        measurement(1, router=0.5, ridge=0.4, knn={"accuracy": 0.9, "validation": None}),
    ]
    assert build_groups(seeds)[0].best_baseline == "ridge"


def test_a_policy_missing_at_a_seed_is_compared_on_the_others():
    (group,) = build_groups([measurement(0, router=0.5, ridge=0.4), measurement(1, router=0.9)])
    gain = group.rows["ridge"].gains["accuracy"]
    assert (gain.mean, gain.n) == (pytest.approx(0.1), 1)
    assert math.isnan(group.rows["ridge"].metrics["accuracy"].values[1])


def test_what_tuning_chose_is_kept_for_each_seed_and_facts_are_joined():
    ridge = {"accuracy": 0.4, "settings": {"l2": 1}}
    seeds = [measurement(seed, router=0.5, ridge=ridge, facts={"users": 9, "queries": 80 + seed}) for seed in (0, 1)]
    (group,) = build_groups(seeds)
    assert group.rows["ridge"].settings == [{"l2": 1}, {"l2": 1}]
    assert "settings" not in group.rows["ridge"].metrics
    assert group.facts == {"users": "9", "queries": "80, 81"} == join_facts(one["facts"] for one in seeds)


def test_contradictions_name_the_setting():
    twice = [measurement(1, setting="warm", k=3, router=0.5)] * 2
    with pytest.raises(ValueError, match="warm, k = 3: expected one measurement a seed, found two of seed 1"):
        build_groups(twice)
    other = measurement(2, setting="warm", k=3, metric="reward", router=0.5)
    with pytest.raises(ValueError, match="warm, k = 3: expected one metric, found accuracy and reward"):
        build_groups([twice[0], other])


def test_a_spread_leaves_out_what_is_unknown():
    found = SeedStatistics.of([1.0, math.nan, 3.0])
    assert (found.mean, found.spread) == (2.0, pytest.approx(math.sqrt(2)))
    assert len(found.values) == 3


WRONG = {
    "no mapping": (["router"], "measurement: expected a mapping"),
    "no seed": ({**measurement(router=1.0), "seed": None}, "seed: expected int, found None"),
    "metric": (measurement(metric="grace", router=1.0), "metric: expected one of reward, accuracy, log_loss"),
    "no k": ({name: v for name, v in measurement(router=1.0).items() if name != "k"}, "k: expected .* found 'nothing'"),
    "no router": (measurement(ridge=1.0), "policies: expected 'router', found ridge"),
    "router unknown": (measurement(router=None), "policies, router: expected accuracy, found nothing"),
    "other metric": (measurement(router=1.0, ridge={"reward": 1.0}), "ridge: expected accuracy, found reward"),
    "a text": (measurement(router={"accuracy": 1.0, "top2": "0.5"}), "policies, router, top2: expected a number"),
    "an end": (measurement(router=1.0, full="1"), "full: expected a number or null, found 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_unit_returns_is_checked_by_field(name):
    one, found = WRONG[name]
    with pytest.raises(ValueError, match=found):
        check_measurement(one)


def test_a_baseline_may_lack_the_metric_if_it_says_so():
    check_measurement(measurement(metric="log_loss", router=1.0, favourite={"log_loss": None, "accuracy": 0.5}))
