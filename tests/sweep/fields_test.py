"""Fields by path: what is read from text is what is written to a flag, and a configuration gets what it is given."""

import dataclasses
import typing

import pytest

from prouter_jax.config import ExperimentConfig, validate
from prouter_jax.sweep.fields import flag_text, kind_of, parse_value, with_values


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
    changed = with_values(config, {"model.near.noise": 7.0, "seed": 3, "train.folds": 4})
    assert config == ExperimentConfig()
    assert (changed.model.near.noise, changed.seed, changed.train.folds) == (7.0, 3, 4)
    changed.model.near.noise, changed.seed, changed.train.folds = 5.0, 0, 2
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
            assert kind_of(path) is kind
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
