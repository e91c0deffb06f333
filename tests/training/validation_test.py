"""What validation makes of the scores of users with and without history."""

import pytest

from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.training import validation
from prouter_jax.training.run import initial_state, make_run


@pytest.mark.parametrize(
    ("split", "unseen_queries", "expected"),
    [("cold_user", "utility", 1.0), ("cold_user", "share", 3.0), ("warm_query", "utility", 3.0)],
)
def test_users_without_history_do_not_sharpen_predicted_utilities(
    tiny_config, monkeypatch, split, unseen_queries, expected
):
    tiny_config.data.split, tiny_config.model.unseen_queries = split, unseen_queries
    tiny_config.data.validation_share = 0.3
    dataset = prepare_dataset(read_source(tiny_config.data), tiny_config.data, 0)
    run = make_run(tiny_config, dataset)
    monkeypatch.setattr(validation, "shrunken_temperature", lambda *_: 3.0)
    found = validation.validate(run, initial_state(run, 0).params, dataset, dataset.labelled("validation"))
    assert found.temperature == expected
