"""The list of fields: complete, described, and found by nearly right names."""

import dataclasses

import pytest

from prouter_jax.config import Embedded, ExperimentConfig, field_type
from prouter_jax.config_fields import hint, list_fields, near_fields


def _count(section) -> int:
    values = vars(section).values()
    return sum(_count(value) if dataclasses.is_dataclass(value) else 1 for value in values)


def test_every_field_is_listed_with_its_meaning():
    fields = list_fields()
    assert len(fields) == len({field.path for field in fields}) == _count(ExperimentConfig())
    for field in fields:
        assert field.meaning, field.path
        assert field_type(field.path) in (int, float, bool, str)


def test_values_are_those_of_the_configuration():
    config = ExperimentConfig()
    config.data.embedded = Embedded(num_tasks=7)
    (found,) = [field for field in list_fields(config) if field.path == "data.embedded.num_tasks"]
    assert (found.kind, found.limits, found.value) == ("whole number", "1 to 50", 7)
    assert found.meaning == "numbers of rows."
    assert found.example == "--config.data.embedded.num_tasks=7"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("train.steps", "train.num_train_steps"),
        ("modle.factor_dim", "model.factor_dim"),
        ("model.factordim", "model.factor_dim"),
        ("learning_rate", "optimizer.learning_rate"),
        ("encoder", "data.encoder"),
        ("data.splits", "data.split"),
    ],
)
def test_the_nearest_field_comes_first(wrong, near):
    assert near_fields(wrong)[0].path == near


def test_a_hint_has_examples_and_a_name_like_none_has_no_hint():
    assert hint("data.splits").startswith("; did you mean --config.data.split=cold_query")
    assert hint("zzz") == ""
