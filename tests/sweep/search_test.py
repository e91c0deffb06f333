"""Which search is made of which flags, and what of it is refused before anything starts."""

import re

import pytest

from prouter_jax.config import ExperimentConfig
from prouter_jax.sweep.search import choose_search, make_search
from prouter_jax.sweep.space import draw, parse_space

CONFIG = ExperimentConfig()
LISTS = parse_space(["model.taste_dim=1,2", "model.style=true,false"], CONFIG)
RANGES = parse_space(["model.taste_dim=1,2", "model.near.noise=1:10"], CONFIG)


def test_lists_alone_without_a_number_are_a_grid():
    assert choose_search(None, LISTS, None) == "grid"
    assert choose_search("grid", LISTS, None) == "grid"
    assert choose_search(None, LISTS, 3) == "random"
    assert choose_search(None, RANGES, 3) == "random"
    assert choose_search("optuna", LISTS, 3) == "optuna"


@pytest.mark.parametrize(
    ("name", "space", "trials", "expected"),
    [
        (None, RANGES, None, "--trials: expected a number from 1 to 10000 for a search of random, found None"),
        ("optuna", LISTS, None, "--trials: expected a number from 1 to 10000 for a search of optuna, found None"),
        (None, LISTS, 0, "--trials: expected a number from 1 to 10000 for a search of random, found 0"),
        (None, RANGES, 10_001, "--trials: expected a number from 1 to 10000"),
        ("grid", LISTS, 3, "--trials: expected none for a grid, which has 4, found 3"),
        ("grid", RANGES, None, "--sweep=model.near.noise: expected a list of values for a grid, found a range"),
    ],
)
def test_a_number_of_trials_that_does_not_go_with_the_search(name, space, trials, expected):
    with pytest.raises(ValueError, match=re.escape(expected)):
        choose_search(name, space, trials)


def test_random_trials_are_the_draws_of_their_numbers():
    search = make_search("random", RANGES, 5, 7, CONFIG)
    assert search.total == 5
    assert [search.begin(number, None) for number in range(5)] == [draw(RANGES, 7, number) for number in range(5)]


def test_a_combination_that_is_impossible_though_each_value_is_possible(monkeypatch):
    def validate(config):
        if config.model.taste_dim == 2 and not config.model.style:
            raise ValueError("config.model.style: expected true with two tastes")

    monkeypatch.setattr("prouter_jax.sweep.search.validate", validate)
    expected = "trial 3 (model.taste_dim=2, model.style=false): config.model.style: expected true with two tastes"
    with pytest.raises(ValueError, match=re.escape(expected)):
        make_search("grid", LISTS, None, 0, CONFIG)
