"""Requirements: the smallest margin over all that is asked for; what is not measured never counts as met."""

import math

import pytest
from protocol_cases import measurement

from prouter_jax.evaluation.protocol import requirements as checks
from prouter_jax.evaluation.protocol.table import build_groups


def _over_k(**at):
    """Groups of the scores at k = 3 and 10, two seeds that differ by 0.002."""
    return build_groups(
        measurement(seed, setting="new", k=k, blind=0.2, full=0.6,
                    **{name: values[place] + (0.001 if name == "router" else -0.001) * seed
                       for name, values in at.items()})
        for seed in (0, 1) for place, k in enumerate((3, 10))
    )  # fmt: skip


GROUPS = _over_k(router=(0.4, 0.5), ridge=(0.38, 0.49), knn=(0.30, 0.495))


def _close(check, groups, margin, metric=""):
    assert check(groups, metric).margin == pytest.approx(margin, abs=1e-9)


def test_the_number_found_is_that_of_the_smallest_margin_and_says_where():
    def found(check, groups=GROUPS, metric=""):
        _, number, where = check(groups, metric)
        return pytest.approx(number, abs=1e-9), where

    assert found(checks.gain(0.004)) == (0.006, "new, k = 10")
    assert found(checks.gain(0.05, "ridge", relative=True, ks=[3])) == (0.021 / 0.3795, "new, k = 3")
    assert found(checks.score({3: 0.2, 10: 0.505})) == (0.5005, "new, k = 10")
    assert found(checks.share(0.5)) == (0.2005 / 0.4, "new, k = 3")
    assert found(checks.ratio({3: 0.1, 10: 0.95})) == (0.5005 / 0.6, "new, k = 10")
    assert found(checks.gain_over_blind(-0.003)) == (0.2005, "new, k = 3")
    loss = build_groups([measurement(metric="log_loss", router=1.0, ridge=1.25)])
    assert found(checks.score(0.75), loss) == (1.0, "cold")


def test_a_gain_is_the_smallest_against_every_baseline_at_every_k():
    _close(checks.gain(0.004), GROUPS, 0.002)
    _close(checks.gain(0, ks=[3]), GROUPS, 0.021)
    _close(checks.gain(0, "ridge"), GROUPS, 0.011)
    _close(checks.gain(0.05, "ridge", relative=True, ks=[3]), GROUPS, 0.021 / 0.3795 - 0.05)


def test_the_best_baseline_is_the_one_chosen_on_validation():
    _close(checks.gain(0, checks.BEST, ks=[3]), GROUPS, 0.021)
    _close(checks.gain(0, checks.BEST, ks=[10]), GROUPS, 0.006)
    unknown = build_groups([measurement(router=0.5, ridge={"accuracy": 0.4})])
    assert math.isnan(checks.gain(0, checks.BEST)(unknown, "").margin)


def test_the_lower_end_may_be_asked_for():
    gain = GROUPS[0].rows["ridge"].gains["accuracy"]
    assert gain.low < gain.mean
    _close(checks.gain(0, "ridge", low=True, ks=[3]), GROUPS, gain.low)
    assert checks.interval_above(0, ks=[3])(GROUPS, "").margin == pytest.approx(gain.low)


def test_an_interval_that_touches_zero_is_not_above_it():
    equal = build_groups(measurement(seed, router=0.5, ridge=0.5) for seed in (0, 1))
    assert checks.gain(0, low=True)(equal, "").margin == 0
    assert checks.interval_above(0)(equal, "").margin < 0


def test_scores_and_shares_have_a_bound_for_each_k():
    _close(checks.score({3: 0.39, 10: 0.505}), GROUPS, 0.5005 - 0.505)
    _close(checks.score(0.39, "knn", where=lambda group: group.k == 10), GROUPS, 0.4945 - 0.39)
    _close(checks.share({3: 0.4, 10: 0.9}), GROUPS, 0.3005 / 0.4 - 0.9)
    _close(checks.share(0.5), GROUPS, 0.2005 / 0.4 - 0.5)


def test_less_log_loss_is_more():
    groups = build_groups(
        measurement(s, metric="log_loss", router=1.0, ridge=1.25, blind=1.5, full=0.5) for s in (0, 1)
    )
    _close(checks.gain(0.2), groups, 0.05)
    _close(checks.score(0.75), groups, -0.25)
    _close(checks.gain_over_blind(0.1), groups, 0.4)
    assert [checks.learnable_gain_above(0.9)(groups[0]), checks.learnable_gain_at_most(0.9)(groups[0])] == [
        True,
        False,
    ]


def test_only_some_groups_are_asked():
    groups = [
        *GROUPS,
        *build_groups([measurement(setting="other", router=0.1, ridge=0.9, blind=0.2, full=0.2)]),
    ]
    assert checks.gain(0)(groups, "").margin < 0
    _close(checks.gain(0, where=checks.settings("new")), groups, 0.006)
    _close(checks.gain(0, where=checks.learnable_gain_above(0.1)), groups, 0.006)
    _close(checks.gain_over_blind(-0.003, where=checks.learnable_gain_at_most(0.1)), groups, -0.097)


def test_another_metric_than_the_groups_may_be_asked_for():
    values = {"router": {"accuracy": 0.5, "log_loss": 1.0}, "ridge": {"accuracy": 0.6, "log_loss": 1.5}}
    groups = build_groups([measurement(**values, favourite={"accuracy": 0.4, "log_loss": None})])
    _close(checks.gain(0), groups, -0.1)
    _close(checks.gain(0), groups, 0.5, "log_loss")  # a favourite has no probabilities: left out
    assert math.isnan(checks.gain(0, "favourite")(groups, "log_loss").margin)


def test_a_number_may_have_to_lie_between_two():
    _close(checks.within(0.45, 0.6), GROUPS, 0.4005 - 0.45)
    _close(checks.within(0.3, 0.5), GROUPS, 0.5 - 0.5005)


def test_the_score_of_another_setting_is_that_at_the_same_k():
    others = build_groups(measurement(setting="other", k=k, router=router) for k, router in ((3, 0.41), (10, 0.48)))
    check = checks.gain_over_setting(-0.02, "new", where=checks.settings("other"))
    _close(check, [*GROUPS, *others], 0.48 - 0.5005 + 0.02)
    assert check([*GROUPS, *others], "")[1:] == (pytest.approx(-0.0205), "other, k = 10")
    loss = build_groups(
        measurement(setting=name, metric="log_loss", k=3, router=router)
        for name, router in (("new", 1.0), ("old", 0.8))
    )
    _close(checks.gain_over_setting(0, "old", where=checks.settings("new")), loss, -0.2)


def test_a_score_never_falls_where_each_is_at_least_the_one_before():
    _close(checks.never_falling(), GROUPS, 0)
    falls = build_groups(measurement(k=k, router=router) for k, router in ((0, 0.4), (3, 0.5), (10, 0.45)))
    assert checks.never_falling()(falls, "") == (pytest.approx(-0.05), pytest.approx(-0.05), "cold, k = 10")


def test_groups_may_need_some_history():
    chosen = [group.k for group in GROUPS if checks.settings("new", least_k=4)(group)]
    assert chosen == [10]
    assert not checks.settings("cold", least_k=0)(build_groups([measurement(router=0.5)])[0])


NOT_MEASURED = {
    "no group": (checks.gain(0), []),
    "a k is missing": (checks.gain(0, ks=[3, 100]), GROUPS),
    "a k of a bound is missing": (checks.share({3: 0.1, 30: 0.1}), GROUPS),
    "no such policy": (checks.gain(0, "kernel_ridge"), GROUPS),
    "no interval of one seed": (checks.gain(0, low=True), build_groups([measurement(router=0.5, ridge=0.4)])),
    "no other setting": (checks.gain_over_setting(0, "nobody"), GROUPS),
    "no such metric of a range": (checks.within(0, 1, "knn"), build_groups([measurement(router=0.5)])),
    "no ends": (checks.share(0), build_groups([measurement(router=0.5)])),
    "no blind score": (checks.gain_over_blind(0), build_groups([measurement(router=0.5)])),
    "one group has no baseline": (
        checks.gain(0),
        [*GROUPS, *build_groups([measurement(setting="bare", router=0.5)])],
    ),
}


@pytest.mark.parametrize("name", NOT_MEASURED)
def test_what_is_not_measured_is_not_met(name):
    check, groups = NOT_MEASURED[name]
    assert math.isnan(check(groups, "").margin)
