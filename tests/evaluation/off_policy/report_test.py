"""All numbers in JSON; a table that a reader can use in Markdown."""

import json
import math

from prouter_jax.evaluation.off_policy.comparison import Comparison, PolicyEstimate
from prouter_jax.evaluation.off_policy.evaluate import Evaluation
from prouter_jax.evaluation.off_policy.report import to_json, to_markdown
from prouter_jax.metrics import Interval

LINES = [
    PolicyEstimate("router", "dr", Interval(0.61234, 0.5, 0.7, 20), 1234.5, 0.98765),
    PolicyEstimate("router - logging policy", "dr", Interval(0.1, -0.05, 0.25, 20), math.nan, math.nan),
]


def _evaluation(fitted=True):
    return Evaluation(Comparison(LINES, 2000, 20, 3, fitted, 2), 2500, {"no thumb or rating": 497})


def test_json_has_all_numbers():
    found = json.loads(json.dumps(to_json(_evaluation()), allow_nan=False))
    assert found["lines"][0] == {
        "policy": "router",
        "estimator": "dr",
        "estimate": 0.61234,
        "low": 0.5,
        "high": 0.7,
        "effective_sample_size": 1234.5,
        "mean_weight": 0.98765,
    }
    assert found["lines"][1]["mean_weight"] is None
    assert (found["logged"], found["decisions"], found["users"]) == (2500, 2000, 20)
    assert (found["certain"], found["weights_cut"], found["propensities_fitted"]) == (3, 2, True)
    assert found["left_out"] == {"no thumb or rating": 497}


def test_markdown_has_the_estimates_and_the_decisions_left_out():
    text = to_markdown(_evaluation())
    assert "| router | dr | 0.6123 | 0.5000 to 0.7000 | 1,234 | 0.988 |" in text
    assert "| router - logging policy | dr | 0.1000 | -0.0500 to 0.2500 |  |  |" in text
    assert "| left out: no thumb or rating | 497 |" in text
    assert "No propensities are in the log" in text
    assert "No propensities are in the log" not in to_markdown(_evaluation(fitted=False))
