"""The space of a sweep: what is accepted, what is refused in one line, and how trials are drawn from it."""

import collections
import itertools

import numpy as np
import pytest
from scipy import stats

from prouter_jax.config import ExperimentConfig
from prouter_jax.sweep.space import Choices, Range, draw, grid_point, grid_size, parse_space

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
    assert space == [
        Choices("model.hidden_dim", (32, 64)),
        Choices("optimizer.learning_rate", (1.0, 0.001)),
        Choices("model.style", (True, False)),
        Choices("model.head", ("dot", "bilinear")),
    ]
    assert [type(one.values[0]) for one in space] == [int, float, bool, str]


def test_a_text_with_a_comma_stands_in_quotes():
    [parts] = parse_space(['model.without=,history,"history,tasks"'], CONFIG)
    assert parts.values == ("", "history", "history,tasks")


def test_ranges():
    assert parse_space(["optimizer.learning_rate=1e-4:1e-2:log", "model.taste_dim=0:9"], CONFIG) == [
        Range("optimizer.learning_rate", 1e-4, 1e-2, log=True),
        Range("model.taste_dim", 0, 9, log=False),
    ]


WRONG = {
    "no values": ("model.hidden_dim", "expected FIELD=VALUES"),
    "unknown field": ("model.nope=1,2", "expected a field of config.model: preset, taste_dim"),
    "unknown section": ("nope.x=1,2", "expected a field of config: name, seed"),
    "a section": ("model.near=1,2", "expected a field of config.model.near: text, style"),
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
    "reversed": ("model.near.noise=10:1", "expected a low end below the high end, found 10.0 and 1.0"),
    "empty range": ("model.hidden_dim=8:8", "expected a low end below the high end, found 8 and 8"),
    "endless": ("model.near.noise=1:inf", "expected a low end below the high end, found 1.0 and inf"),
    "log of 0": ("model.near.text=0:1:log", "expected a low end above 0 for a log range, found 0.0"),
    "log of less": ("model.near.text=-1:1:log", "expected a low end above 0 for a log range, found -1.0"),
    "no such scale": ("model.near.text=1:2:cubic", "expected LOW:HIGH or LOW:HIGH:log, found '1:2:cubic'"),
    "one end": ("model.near.text=1:", "expected a number, found ''"),
    "the seed": ("seed=1,2", "every trial trains the seeds of --config.seeds"),
    "other questions": ("data.split=cold_query,warm_query", "leaves the validation decisions as they are"),
    "another benchmark": ("data.embedded.seed=1,2", "leaves the validation decisions as they are"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_line_that_names_the_flag(name):
    text, expected = WRONG[name]
    with pytest.raises(ValueError, match=r"^--sweep=") as caught:
        parse_space(["model.crowd=true,false", text], CONFIG)
    assert str(caught.value).startswith(f"--sweep={text}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_field_twice_and_no_field_at_all():
    with pytest.raises(ValueError, match=r"^--sweep=model\.style=false: expected each field once"):
        parse_space(["model.style=true", "model.style=false"], CONFIG)
    with pytest.raises(ValueError, match=r"^--sweep: expected at least one"):
        parse_space([], CONFIG)


def test_a_grid_has_every_combination_once():
    space = parse_space(["model.taste_dim=1,2,3", "model.style=true,false", "model.near.noise=1,10"], CONFIG)
    points = [tuple(grid_point(space, number).values()) for number in range(grid_size(space))]
    assert len(points) == 12
    assert set(points) == set(itertools.product((1, 2, 3), (True, False), (1.0, 10.0)))
    assert {type(value) for value in points[0]} == {int, bool, float}
    with pytest.raises(ValueError, match=r"^--sweep=model\.taste_dim: expected a list of values for a grid"):
        grid_size(parse_space(["model.taste_dim=1:3"], CONFIG))


def test_a_draw_is_of_the_seed_and_the_number_alone():
    texts = ["model.taste_dim=1:9", "model.near.noise=1:100:log", "model.head=dot,bilinear"]
    space, turned = parse_space(texts, CONFIG), parse_space(texts[::-1], CONFIG)
    drawn = {number: draw(space, 3, number) for number in range(50)}
    for number in reversed(range(50)):
        assert draw(space, 3, number) == draw(turned, 3, number) == drawn[number]
    alone = parse_space(texts[1:2], CONFIG)
    assert [draw(alone, 3, n)["model.near.noise"] for n in range(50)] == [
        drawn[n]["model.near.noise"] for n in range(50)
    ]
    assert len({tuple(one.values()) for one in drawn.values()}) == 50
    assert all(draw(space, 4, number) != drawn[number] for number in range(50))


def _drawn(text, times=2000):
    space = parse_space([text], CONFIG)
    return np.array([next(iter(draw(space, 0, number).values())) for number in range(times)])


def test_fields_are_drawn_independently_of_one_another():
    space = parse_space(["model.near.noise=1:2", "model.near.text=1:2", "model.style=true,false"], CONFIG)
    drawn = np.array([list(draw(space, 0, number).values()) for number in range(500)], float)
    off = np.corrcoef(drawn.T) - np.eye(3)
    assert np.abs(off).max() < 0.15


def test_log_ranges_are_even_over_orders_of_magnitude_and_others_over_values():
    logs = np.log10(_drawn("optimizer.learning_rate=1e-4:1e-1:log"))
    assert stats.kstest(logs, stats.uniform(-4, 3).cdf).pvalue > 0.01
    assert stats.kstest(_drawn("model.near.noise=2:5"), stats.uniform(2, 3).cdf).pvalue > 0.01


def test_whole_numbers_reach_both_ends():
    even = collections.Counter(_drawn("model.taste_dim=2:5").tolist())
    assert sorted(even) == [2, 3, 4, 5]
    assert stats.chisquare(list(even.values())).pvalue > 0.01
    logs = collections.Counter(_drawn("model.hidden_dim=1:7:log").tolist())
    assert sorted(logs) == [1, 2, 3, 4, 5, 6, 7]
    # as often below 2 as from 2 to 3 and from 4 to 7
    octaves = [logs[1], logs[2] + logs[3], logs[4] + logs[5] + logs[6] + logs[7]]
    assert stats.chisquare(octaves).pvalue > 0.01


def test_numbers_drawn_have_four_digits_and_stay_within():
    drawn = _drawn("model.near.noise=1.00001:1.00009")
    assert drawn.min() >= 1.00001
    assert drawn.max() <= 1.00009
    assert all(float(f"{value:.4g}") == value for value in _drawn("model.near.noise=1:100:log"))
