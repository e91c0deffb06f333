"""The embedded benchmark's answers show the style of the LLM that wrote them."""

import numpy as np
import pytest

from prouter_jax.config import Embedded
from prouter_jax.data.style_features import FEATURES, answer_features
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.synthetic.text import STYLES, answer_texts
from prouter_jax.data.synthetic.topics import TOPICS

QUERIES = ["Short?", "Long. " * 50]
WARM, BRIEF, STEPS, PLAYFUL, DETAILED = range(len(STYLES))


def _mean_features(style: list[float], query: int = 0) -> dict[str, float]:
    """The mean style of 200 answers of an LLM of the given traits."""
    rows, llm = np.full(200, query), np.zeros(200, int)
    rng = np.random.default_rng(0)
    answers = answer_texts(QUERIES, np.array([0, 1]), np.array([style]), rows, llm, rng)
    features = answer_features([QUERIES[query]] * 200, answers.tolist())
    return dict(zip(FEATURES, features.mean(0).tolist(), strict=True))


@pytest.mark.parametrize(
    ("trait", "more", "less"),
    [
        (WARM, ["warm_words", "second_person"], []),
        (BRIEF, [], ["letters", "sentences"]),
        (STEPS, ["numbered_steps"], []),
        (PLAYFUL, ["playful_words", "emoji"], []),
        (DETAILED, ["letters", "commas"], []),
    ],
)
def test_a_trait_can_be_read_off_the_answers(trait, more, less):
    style = np.zeros((2, len(STYLES)))
    style[:, trait] = -1, 1
    without, with_it = (_mean_features(row) for row in style.tolist())
    assert all(with_it[name] > without[name] + 0.2 for name in more)
    assert all(with_it[name] < without[name] - 0.2 for name in less)


def test_long_queries_get_longer_answers_on_their_topic():
    short, long = (_mean_features([0.0] * len(STYLES), query) for query in (0, 1))
    assert long["letters"] > short["letters"] + 0.2
    rows = np.array([0, 1] * 50)
    topics = np.array([0, 1])
    written = answer_texts(QUERIES, topics, np.zeros((1, len(STYLES))), rows, rows * 0, np.random.default_rng(0))
    for topic, other in ((0, 1), (1, 0)):
        texts = " ".join(written[rows == topic])
        assert any(term in texts for term in TOPICS[topic].terms.split("|"))
        assert not any(term in texts for term in TOPICS[other].terms.split("|"))


def test_every_topic_and_place_has_enough_to_say():
    rows = np.arange(len(TOPICS)).repeat(100)
    style = np.array([[-1.0, -1, 1, -1, 1]]) * 9  # six steps for a long query
    topics = np.arange(len(TOPICS))
    written = answer_texts(["Long. " * 50] * len(TOPICS), topics, style, rows, rows * 0, np.random.default_rng(0))
    assert all("\n6. " in text for text in written)
    assert not [text for text in written if set("{}|") & set(text)]


def test_the_benchmark_brings_an_answer_for_each_outcome():
    data = build_embedded(Embedded(num_queries=60, num_llms=6))
    again, other = (build_embedded(Embedded(num_queries=60, num_llms=6, seed=seed)) for seed in (0, 1))
    assert data.outcomes.response is not None
    assert all(data.outcomes.response)
    assert list(data.outcomes.response) == list(again.outcomes.response)
    assert list(data.outcomes.response)[:20] != list(other.outcomes.response)[:20]
