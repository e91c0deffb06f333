"""The configuration: kept as JSON without loss, and every impossible value is named before anything starts."""

import dataclasses
import json
import typing

import pytest

from prouter_jax.config import (
    ALIASES,
    ExperimentConfig,
    current_path,
    differences,
    field_type,
    from_json,
    to_json,
    validate,
)


def _fields(section, path=""):
    for name, kind in typing.get_type_hints(type(section)).items():
        if dataclasses.is_dataclass(kind):
            yield from _fields(getattr(section, name), f"{path}{name}.")
        else:
            yield f"{path}{name}", kind, getattr(section, name)


def _with(path, value):
    config = ExperimentConfig()
    *sections, name = path.split(".")
    section = config
    for part in sections:
        section = getattr(section, part)
    setattr(section, name, value)
    return config


LEAVES = list(_fields(ExperimentConfig()))
NUMBERS = [path for path, kind, _ in LEAVES if kind in (int, float)]


def test_defaults_are_valid_and_survive_json():
    config = ExperimentConfig()
    assert validate(config) is config
    assert from_json(to_json(config)) == config


def test_differences_name_each_field_that_another_configuration_has_otherwise():
    config = ExperimentConfig()
    assert differences(to_json(config), config) == []
    other = _with("model.hidden_dim", 7)
    assert differences(to_json(config), other) == ["config.model.hidden_dim: was 32, now 7"]
    old = json.loads(to_json(config))
    del old["data"]["given"]
    old["gone"] = True
    assert differences(json.dumps(old), config) == [
        "config.data.given: was no such field, now 0",
        "config.gone: was true, now no such field",
    ]
    assert differences("{", config) == []


@pytest.mark.parametrize(("path", "kind", "value"), LEAVES)
def test_every_field_survives_json(path, kind, value):
    others = {
        "train.users_per_step": 128,
        "data.source": "tables",
        "data.users": "multi_cost_efficiency",
        "data.feedback": "rating",
        "data.split": "warm_query",
        "data.history": "unseen",
        "data.judge.name": "llm",
        "data.judge.output_limit": "max_tokens",
        "model.preset": "paper",
        "model.unseen_queries": "utility",
        "model.head": "bilinear",
        "model.without": "tasks,families",
        "data.preference_min": 0.25,
        "data.preference_max": 0.75,
        "data.train_share": 0.5,
        "data.validation_share": 0.2,
    }
    other = others.get(path, {bool: not value, str: "ä b", int: 3, float: 0.3}[kind])
    assert other != value
    config = _with(path, other)
    if path == "data.source":
        config.data.path = "somewhere"
    if path == "data.history":
        config.data.split = "cold_user"
    if path == "data.embedded.more_users":
        config.train.users_per_step = 128
    if path in ("data.new_llms", "data.given"):
        config.data.split = "cold_llm" if path == "data.new_llms" else "cold_user"
    assert from_json(to_json(config)) == config


@pytest.mark.parametrize(("path", "kind", "value"), LEAVES)
def test_a_wrong_type_is_named(path, kind, value):
    for wrong in (None, [value], {bool: 1, str: 3, int: True, float: 1}[kind]):
        with pytest.raises(ValueError, match=rf"^config\.{path}: expected {kind.__name__}, found ") as caught:
            validate(_with(path, wrong))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", NUMBERS)
def test_an_impossible_number_is_named(path):
    kind = {name: kind for name, kind, _ in LEAVES}[path]
    wrong = [-1, 10**12] if kind is int else [-1.0, 1e12, float("nan"), float("inf"), -float("inf")]
    for value in wrong:
        with pytest.raises(ValueError, match=rf"^config\.{path}: expected .*, found "):
            validate(_with(path, value))


@pytest.mark.parametrize(
    "path",
    [
        *("data.source", "data.users", "data.feedback", "data.split", "data.judge.name", "data.judge.output_limit"),
        *("model.preset", "model.unseen_queries", "model.head"),
    ],
)
def test_an_unknown_name_is_named(path):
    with pytest.raises(ValueError, match=rf"^config\.{path}: expected one of .*, found 'other'"):
        validate(_with(path, "other"))


def test_values_must_fit_together():
    with pytest.raises(ValueError, match=r"config\.model\.without: expected parts among history, .*, found 'moon'"):
        validate(_with("model.without", "tasks,moon"))
    with pytest.raises(ValueError, match=r"config\.data\.path: expected a path for source 'tables', found ''"):
        validate(_with("data.source", "tables"))
    with pytest.raises(ValueError, match=r"config\.data\.preference_max: expected at least data\.preference_min"):
        validate(_with("data.preference_max", 0.1))
    with pytest.raises(ValueError, match=r"config\.data\.validation_share: .* leave a test set, found 1\.0"):
        validate(_with("data.validation_share", 0.3))


@pytest.mark.parametrize(
    ("split", "field", "value", "expected"),
    [
        ("cold_query", "given", 3, "0 for split 'cold_query'"),
        ("warm_query", "given", 1, "0 for split 'warm_query'"),
        ("cold_user", "new_llms", "a", "nothing for split 'cold_user'"),
        ("time", "users", "multi_cost_efficiency", "'recorded' for split 'time'"),
        ("cold_llm", "new_llms", "", "names of LLMs for split 'cold_llm'"),
        ("cold_user_llm", "new_llms", "", "names of LLMs for split 'cold_user_llm'"),
    ],
)
def test_a_split_takes_what_it_needs(split, field, value, expected):
    config = _with("data.split", split)
    setattr(config.data, field, value)
    with pytest.raises(ValueError, match=rf"^config\.data\.{field}: expected {expected}, found {value!r}$"):
        validate(config)


def test_json_of_another_shape_is_refused():
    values = json.loads(to_json(ExperimentConfig()))
    for damaged, found in (
        (values | {"more": 1}, r"config: .* difference in \['more'\]"),
        ({name: value for name, value in values.items() if name != "seed"}, r"difference in \['seed'\]"),
        (values | {"model": 3}, r"config\.model: expected the keys preset"),
        (values | {"model": values["model"] | {"width": 3}}, r"config\.model: .* difference in \['width'\]"),
        ([], "config: expected the keys"),
    ):
        with pytest.raises(ValueError, match=found):
            from_json(json.dumps(damaged))
    with pytest.raises(ValueError, match="line 1"):
        from_json("{")


@pytest.mark.parametrize(
    ("users", "devices", "good"), [(0, 3, True), (256, 2, True), (100, 2, True), (384, 2, False), (9, 2, False)]
)
@pytest.mark.parametrize("axis", ["data", "model"])
def test_devices_share_the_users_of_a_step_in_whole_chunks(users, devices, good, axis):
    config = _with("train.users_per_step", users)
    setattr(config.mesh, axis, devices)
    if good:
        assert validate(config) is config
    else:
        with pytest.raises(ValueError, match=rf"^config\.train\.users_per_step: .* found {users}$"):
            validate(config)


def test_more_users_are_the_embedded_benchmark_s_own_and_train_in_minibatches():
    config = _with("data.embedded.more_users", 10)
    with pytest.raises(ValueError, match="users_per_step: expected some users with more_users"):
        validate(config)
    config.train.users_per_step, config.data.split = 4, "warm_query"
    with pytest.raises(ValueError, match="split: expected 'cold_query' with more_users"):
        validate(config)


# name of version 0.1, current name, a value
OLD_NAMES = {
    pair.partition(" -> ")[0]: (pair.partition(" -> ")[2], value)
    for pair, value in {
        "taste_dim -> factor_dim": 4,
        "taste_precision -> factor_precision": 2.5,
        "population_strength -> prior_strength": 7.0,
        "crowd -> population_mean": False,
        "foresight -> unseen_queries": "utility",
        "preset -> preset": "bayes",
    }.items()
}
OLD_KERNEL = next(old for old, new in ALIASES.items() if new == "model.query_kernel")


def test_an_experiment_file_may_use_an_old_name_within_a_section():
    config = ExperimentConfig()
    config.model.query_kernel.most_queries = 700  # pyright: ignore[reportAttributeAccessIssue]
    assert validate(config).model.query_kernel.landmarks == 700


@pytest.mark.parametrize("old", OLD_NAMES)
def test_an_experiment_file_may_use_a_name_of_version_0_1(old):
    new, value = OLD_NAMES[old]
    config = ExperimentConfig()
    setattr(config.model, old, value)
    validate(config)
    assert getattr(config.model, new) == {"bayes": "em"}.get(value, value)
    assert set(vars(config.model)) == set(vars(ExperimentConfig().model))


def test_a_stored_configuration_of_version_0_1_is_read():
    values = json.loads(to_json(ExperimentConfig()))
    kernel = values["model"].pop("query_kernel")
    kernel["most_queries"] = kernel.pop("landmarks")
    values["model"][OLD_KERNEL.partition(".")[2]] = kernel | {"noise": 3.0, "most_queries": 700}
    for old, (new, value) in OLD_NAMES.items():
        values["model"].pop(new)
        values["model"][old] = value
    model = from_json(json.dumps(values)).model
    assert (model.factor_dim, model.unseen_queries, model.query_kernel.noise, model.preset) == (4, "utility", 3.0, "em")
    assert model.query_kernel.landmarks == 700


def test_aliases_lead_from_old_names_to_fields():
    for old, new in ALIASES.items():
        with pytest.raises(ValueError, match="expected a field"):
            field_type(old)
        assert field_type(new)
    assert len(ALIASES) == 7
    assert OLD_KERNEL.endswith(".near")
    assert current_path(f"{OLD_KERNEL}.noise") == "model.query_kernel.noise"
    assert current_path(f"{OLD_KERNEL}.most_queries") == "model.query_kernel.landmarks"


def test_an_attribute_that_is_no_field_is_an_error():
    config = ExperimentConfig()
    config.model.taste_dims = 4
    with pytest.raises(ValueError, match=r"^config\.model\.taste_dims: expected a field \(.*factor_dim.*\), found 4$"):
        validate(config)


def test_a_configuration_of_an_earlier_version_is_read():
    values = json.loads(to_json(ExperimentConfig()))
    del values["train"]["tuning_steps"], values["data"]["history"]
    assert from_json(json.dumps(values)) == ExperimentConfig()


def test_a_configuration_nested_too_deeply_is_bad_input():
    deep = '{"a":' * 100_000
    with pytest.raises(ValueError, match=r"^expected JSON, found it nested too deeply$"):
        from_json(deep)
    assert differences(deep, ExperimentConfig()) == []


def test_what_an_experiment_file_returns_must_have_every_section():
    for wrong in ({}, None, 5):
        with pytest.raises(ValueError, match=r"^config: expected an ExperimentConfig, found "):
            validate(wrong)
    config = ExperimentConfig()
    config.train = 5  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match=r"^config\.train: expected a section Train, found 5$"):
        validate(config)
