"""The space of a sweep: accepted and refused values, draws and grids, fields by path, and searches from flags."""

import collections
import dataclasses
import itertools
import re
import typing

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import stats

from prouter_jax.config import ExperimentConfig, validate, with_values
from prouter_jax.search import draw_trial, grid
from prouter_jax.sweep.space import field_type, flag_text, make_search, parse_space, parse_value

CONFIG = ExperimentConfig()


def test_lists_have_the_type_of_their_field():
    space = parse_space(
        [
            "model.hidden_dim=32,64",
            "optimizer.learning_rate=1,1e-3",
            "model.style=true,false",
            "model.head=dot,bilinear",
        ],
        CONFIG,
    )
    lists = {path: one.choices for path, one in space.items() if isinstance(one, CategoricalDistribution)}
    assert lists == {
        "model.hidden_dim": (32, 64),
        "optimizer.learning_rate": (1.0, 0.001),
        "model.style": (True, False),
        "model.head": ("dot", "bilinear"),
    }
    assert [type(values[0]) for values in lists.values()] == [int, float, bool, str]


def test_a_text_with_a_comma_stands_in_quotes():
    space = parse_space(['model.without=,history,"history,tasks"'], CONFIG)
    assert space == {"model.without": CategoricalDistribution(("", "history", "history,tasks"))}


def test_ranges():
    assert parse_space(["optimizer.learning_rate=1e-4:1e-2:log", "model.factor_dim=0:9"], CONFIG) == {
        "optimizer.learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
        "model.factor_dim": IntDistribution(0, 9),
    }


WRONG = {
    "no values": ("model.hidden_dim", "expected FIELD=VALUES"),
    "unknown field": ("model.nope=1,2", "expected a field of config.model: preset, factor_dim"),
    "unknown section": ("nope.x=1,2", "expected a field of config: name, seed"),
    "a section": ("model.query_kernel=1,2", "expected a field of config.model.query_kernel: text, style"),
    "below a field": ("model.head.x=1", "expected a field of config.model.head: it has none; found 'x'"),
    "text for a number": ("model.hidden_dim=32,wide", "expected a whole number, found 'wide'"),
    "fraction for a whole number": ("model.hidden_dim=32,6.4", "expected a whole number, found '6.4'"),
    "fraction at an end": ("model.hidden_dim=1.5:8", "expected a whole number, found '1.5'"),
    "neither true nor false": ("model.style=yes", "expected true or false, found 'yes'"),
    "nothing": ("model.hidden_dim=", "expected a whole number, found ''"),
    "an open quote": ('model.without="history', "expected values with commas between"),
    "not a number": ("optimizer.learning_rate=nan,1", "a value in [1e-09, 10.0], found nan"),
    "twice": ("model.hidden_dim=32,32", "expected each value once"),
    "out of range": ("optimizer.learning_rate=-1,1", "config.optimizer.learning_rate: expected a value in"),
    "an end out of range": ("optimizer.learning_rate=1e-4:11", "config.optimizer.learning_rate: expected a value in"),
    "unknown choice": ("model.head=dot,cross", "config.model.head: expected one of dot, bilinear, found 'cross'"),
    "reversed": ("model.query_kernel.noise=10:1", "expected a low end below the high end, found 10.0 and 1.0"),
    "empty range": ("model.hidden_dim=8:8", "expected a low end below the high end, found 8 and 8"),
    "endless": ("model.query_kernel.noise=1:inf", "expected a low end below the high end, found 1.0 and inf"),
    "log of 0": ("model.query_kernel.text=0:1:log", "expected a low end above 0 for a log range, found 0.0"),
    "log of less": ("model.query_kernel.text=-1:1:log", "expected a low end above 0 for a log range, found -1.0"),
    "no such scale": ("model.query_kernel.text=1:2:cubic", "expected LOW:HIGH or LOW:HIGH:log, found '1:2:cubic'"),
    "one end": ("model.query_kernel.text=1:", "expected a number, found ''"),
    "the seed": ("seed=1,2", "every trial trains the seeds of --config.seeds"),
    "other questions": ("data.split=cold_query,warm_query", "leaves the validation decisions as they are"),
    "another benchmark": ("data.embedded.seed=1,2", "leaves the validation decisions as they are"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_that_names_the_flag(name):
    text, expected = WRONG[name]
    with pytest.raises(ValueError, match=r"^--sweep=") as caught:
        parse_space(["model.population_mean=true,false", text], CONFIG)
    assert str(caught.value).startswith(f"--sweep={text}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_may_begin_with_config_and_a_wrong_one_names_the_nearest():
    assert parse_space(["config.model.factor_dim=4,8"], CONFIG) == parse_space(["model.factor_dim=4,8"], CONFIG)
    with pytest.raises(ValueError, match=r"found 'factordim'; did you mean model.factor_dim\?$"):
        parse_space(["model.factordim=4,8"], CONFIG)


def test_a_field_twice_and_no_field_at_all():
    with pytest.raises(ValueError, match=r"^--sweep=model\.style=false: expected each field once"):
        parse_space(["model.style=true", "model.style=false"], CONFIG)
    with pytest.raises(ValueError, match=r"^--sweep: expected at least one"):
        parse_space([], CONFIG)


def test_a_grid_has_every_combination_once():
    space = parse_space(["model.factor_dim=1,2,3", "model.style=true,false", "model.query_kernel.noise=1,10"], CONFIG)
    points = [tuple(values.values()) for values in grid(space)]
    assert points == list(itertools.product((1, 2, 3), (True, False), (1.0, 10.0)))
    assert {type(value) for value in points[0]} == {int, bool, float}
    with pytest.raises(ValueError, match=r"^model\.factor_dim: expected a list of values for a grid"):
        grid(parse_space(["model.factor_dim=1:3"], CONFIG))


def test_a_draw_is_of_the_seed_and_the_number_alone():
    texts = ["model.factor_dim=1:9", "model.query_kernel.noise=1:100:log", "model.head=dot,bilinear"]
    space, turned = parse_space(texts, CONFIG), parse_space(texts[::-1], CONFIG)
    drawn = {number: draw_trial(space, 3, number) for number in range(50)}
    for number in reversed(range(50)):
        assert draw_trial(space, 3, number) == draw_trial(turned, 3, number) == drawn[number]
    alone = parse_space(texts[1:2], CONFIG)
    assert [draw_trial(alone, 3, n)["model.query_kernel.noise"] for n in range(50)] == [
        drawn[n]["model.query_kernel.noise"] for n in range(50)
    ]
    assert len({tuple(one.values()) for one in drawn.values()}) == 50
    assert all(draw_trial(space, 4, number) != drawn[number] for number in range(50))


def _drawn(text, times=2000):
    space = parse_space([text], CONFIG)
    return np.array([next(iter(draw_trial(space, 0, number).values())) for number in range(times)])


def test_fields_are_drawn_independently_of_one_another():
    space = parse_space(
        ["model.query_kernel.noise=1:2", "model.query_kernel.text=1:2", "model.style=true,false"], CONFIG
    )
    drawn = np.array([list(draw_trial(space, 0, number).values()) for number in range(500)], float)
    off = np.corrcoef(drawn.T) - np.eye(3)
    assert np.abs(off).max() < 0.15


def test_log_ranges_are_even_over_orders_of_magnitude_and_others_over_values():
    logs = np.log10(_drawn("optimizer.learning_rate=1e-4:1e-1:log"))
    assert stats.kstest(logs, stats.uniform(-4, 3).cdf).pvalue > 0.01
    assert stats.kstest(_drawn("model.query_kernel.noise=2:5"), stats.uniform(2, 3).cdf).pvalue > 0.01


def test_whole_numbers_reach_both_ends():
    even = collections.Counter(_drawn("model.factor_dim=2:5").tolist())
    assert sorted(even) == [2, 3, 4, 5]
    assert stats.chisquare(list(even.values())).pvalue > 0.01
    logs = collections.Counter(_drawn("model.hidden_dim=1:7:log").tolist())
    assert sorted(logs) == [1, 2, 3, 4, 5, 6, 7]
    # as often below 2 as from 2 to 3 and from 4 to 7
    octaves = [logs[1], logs[2] + logs[3], logs[4] + logs[5] + logs[6] + logs[7]]
    assert stats.chisquare(octaves).pvalue > 0.01


def test_numbers_drawn_have_four_digits_and_stay_within():
    drawn = _drawn("model.query_kernel.noise=1.00001:1.00009")
    assert drawn.min() >= 1.00001
    assert drawn.max() <= 1.00009
    assert all(float(f"{value:.4g}") == value for value in _drawn("model.query_kernel.noise=1:100:log"))


@pytest.mark.parametrize(
    ("value", "kind"),
    [(True, bool), (False, bool), (0, int), (64, int), (1e-5, float), (1 / 3, float), (3e16, float), ("", str),
     ("a,b c", str)],
)  # fmt: skip
def test_a_value_is_the_same_after_a_flag(value, kind):
    again = parse_value(flag_text(value), kind)
    assert (type(again), again) == (kind, value)


def test_only_the_named_fields_change_and_only_in_the_copy():
    config = ExperimentConfig()
    changed = with_values(config, {"model.query_kernel.noise": 7.0, "seed": 3, "train.folds": 4})
    assert config == ExperimentConfig()
    assert (changed.model.query_kernel.noise, changed.seed, changed.train.folds) == (7.0, 3, 4)
    changed.model.query_kernel.noise, changed.seed, changed.train.folds = 5.0, 0, 2
    assert changed == config


def _paths(section, prefix=""):
    for name, kind in typing.get_type_hints(section).items():
        if dataclasses.is_dataclass(kind):
            yield from _paths(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", kind


def test_every_field_of_the_network_its_training_and_nothing_of_what_is_asked_can_be_swept():
    swept = set()
    for path, kind in _paths(ExperimentConfig):
        try:
            assert field_type(path) is kind
        except ValueError:
            continue
        swept.add(path)
        value = getattr_path(ExperimentConfig(), path)
        assert validate(with_values(ExperimentConfig(), {path: parse_value(flag_text(value), kind)}))
    refused = {path for path, _ in _paths(ExperimentConfig)} - swept
    assert {path.split(".")[0] for path in refused} == {"name", "seed", "seeds", "data"}
    assert {path for path in swept if path.startswith("data.")} == {"data.encoder", "data.decisions_per_user"}


def getattr_path(config, path):
    for name in path.split("."):
        config = getattr(config, name)
    return config


LISTS = parse_space(["model.factor_dim=1,2", "model.style=true,false"], CONFIG)
RANGES = parse_space(["model.factor_dim=1,2", "model.query_kernel.noise=1:10"], CONFIG)


def test_lists_alone_without_a_number_are_a_grid():
    for name, space, trials, kind in (
        (None, LISTS, None, "grid"),
        ("grid", LISTS, None, "grid"),
        (None, LISTS, 3, "random"),
        (None, RANGES, 3, "random"),
        ("optuna", LISTS, 3, "optuna"),
    ):
        search = make_search(name, space, trials, 0, CONFIG)
        assert (search.kind, search.total) == (kind, trials or 4)


@pytest.mark.parametrize(
    ("name", "space", "trials", "expected"),
    [
        (None, RANGES, None, "--trials: expected a number from 1 to 10000 for a search of random, found None"),
        ("optuna", LISTS, None, "--trials: expected a number from 1 to 10000 for a search of optuna, found None"),
        (None, LISTS, 0, "--trials: expected a number from 1 to 10000 for a search of random, found 0"),
        (None, RANGES, 10_001, "--trials: expected a number from 1 to 10000"),
        ("grid", LISTS, 3, "--trials: expected none for a grid, which has 4, found 3"),
        ("grid", RANGES, None, "model.query_kernel.noise: expected a list of values for a grid, found a range"),
    ],
)
def test_a_number_of_trials_that_does_not_go_with_the_search(name, space, trials, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        make_search(name, space, trials, 0, CONFIG)


def test_a_combination_that_is_impossible_though_each_value_is_possible(monkeypatch):
    def validate(config):
        if config.model.factor_dim == 2 and not config.model.style:
            raise ValueError("config.model.style: expected true with two tastes")

    monkeypatch.setattr("prouter_jax.sweep.space.validate", validate)
    expected = "trial 3 (model.factor_dim=2, model.style=false): config.model.style: expected true with two tastes"
    with pytest.raises(ValueError, match=re.escape(expected)):
        make_search("grid", LISTS, None, 0, CONFIG)
