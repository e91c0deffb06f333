"""Personas: nine with one style each, then mixtures, and their prompts."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import strings
from prouter_jax.data.rewards import build_decisions
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.llm.judges.base import STYLES, WISHES, Persona, Verdicts, build_questions, make_personas, write_choices


def _persona(styles: dict, quality=0.5, cost=0.0):
    return Persona("x", tuple(styles.get(style, 0.0) for style in STYLES), quality, cost)


def test_the_first_nine_have_one_style_each_and_no_cost_weight():
    personas = make_personas(9, seed=3)
    np.testing.assert_array_equal([persona.styles for persona in personas], np.eye(9))
    for persona, style in zip(personas, STYLES, strict=True):
        assert WISHES[style] in persona.prompt()
        assert not [wish for other, wish in WISHES.items() if other != style and wish in persona.prompt()]
        assert "price" not in persona.prompt()


def test_the_others_are_mixtures_that_differ():
    personas = make_personas(1000, seed=0)
    assert personas[0].name == "judge0000"
    assert len({persona.name for persona in personas}) == 1000
    assert len({persona.prompt() for persona in personas[9:200]}) > 150
    styles = np.array([persona.styles for persona in personas[9:]])
    np.testing.assert_allclose(styles.sum(1), 1)
    assert (styles >= 0).all()
    np.testing.assert_allclose(styles.mean(0), 1 / 9, atol=0.02)
    weights = ("quality_weight", "cost_weight")
    quality, cost = (np.array([getattr(persona, name) for persona in personas[9:]]) for name in weights)
    assert 0.45 < quality.mean() < 0.55
    assert 0.28 < cost.mean() < 0.38
    assert min(quality.min(), cost.min()) >= 0
    assert max(quality.max(), cost.max()) <= 1


def test_a_person_depends_on_the_seed_but_not_on_how_many_there_are():
    assert make_personas(30, seed=1)[:12] == make_personas(12, seed=1)
    assert make_personas(12, seed=1)[11] != make_personas(12, seed=2)[11]


def test_the_prompt_of_a_mixture_names_the_strongest_styles_and_their_shares():
    text = _persona({"steps": 0.4, "play": 0.24, "warmth": 0.16, "brevity": 0.15, "relevance": 0.05}).prompt()
    shares = {style: f"({share}) to {WISHES[style]}" for style, share in (("steps", "50%"), ("play", "30%"))}
    assert all(share in text for share in shares.values())
    assert text.index(shares["steps"]) < text.index(shares["play"]) < text.index(WISHES["warmth"])
    assert WISHES["brevity"] not in text


def test_the_prompt_of_a_mixture_names_at_least_two_styles():
    text = _persona({"steps": 0.95, "play": 0.05}).prompt()
    assert "(95%)" in text
    assert "(5%)" in text


@pytest.mark.parametrize(
    ("weight", "told"), [(0.0, "hardly at all"), (0.3, "a little"), (0.6, "a good deal"), (1.0, "very much")]
)
def test_the_prompt_states_the_weights_of_quality_and_cost(weight, told):
    assert f"right and helpful matters to you {told}." in _persona({"steps": 1.0}, quality=weight).prompt()
    if weight:
        assert f"that it is cheap matters to you {told}." in _persona({"steps": 1.0}, cost=weight).prompt()


def test_queries_with_two_answers_are_kept(two_users):
    """Outcomes: (x, a), (x, c), (y, c)."""
    outcomes = dataclasses.replace(two_users.outcomes, response=strings(["one", "two", "three"]))
    questions = build_questions(two_users.replace(outcomes=outcomes))
    assert questions.ids.tolist() == ["x"]
    assert questions.query.tolist() == [0]
    assert questions.texts.tolist() == ["1+1"]
    assert questions.answers.tolist() == [["one", "", "two"]]
    assert questions.offered.tolist() == [[True, False, True]]
    np.testing.assert_array_equal(questions.effect, [[1, np.nan, 0]])
    np.testing.assert_array_equal(questions.cost, np.full((1, 3), np.nan))


def test_blank_answers_are_none(two_users):
    outcomes = dataclasses.replace(two_users.outcomes, response=strings(["one", " \n", "three"]))
    with pytest.raises(ValueError, match=r"^table outcomes, column response: expected a query with two answers"):
        build_questions(two_users.replace(outcomes=outcomes))


def test_without_texts_there_is_nothing_to_judge(two_users):
    with pytest.raises(ValueError, match=r"^table outcomes, column response: expected .* found no such column$"):
        build_questions(two_users)


def test_choices_are_read_again_and_failures_have_no_row(two_users, tmp_path):
    outcomes = dataclasses.replace(
        two_users.outcomes,
        query=np.array([0, 0, 0, 1, 1]),
        llm=np.array([0, 1, 2, 0, 2]),
        response=tables.strings(["a", "b", "c", "d", "e"]),
        **{name: np.full(5, np.nan) for name in ("effect", "cost", "input_tokens", "output_tokens")},
    )
    nobody = tables.Users(tables.strings([]), np.zeros(0))
    data = two_users.replace(
        users=nobody, outcomes=outcomes, decisions=tables.no_decisions(), feedback=tables.no_feedback()
    )
    write_tables(data, tmp_path)
    verdicts = Verdicts(np.array([[1, 2], [-1, 0], [2, 2]], np.int32), {(1, 0): "no reply"})
    rows = write_choices(tmp_path / "choices.parquet", make_personas(3, 0), build_questions(data), verdicts)
    assert rows == 5
    found = read_tables(tmp_path)
    decisions = build_decisions(found, np.arange(len(found.decisions.user)))
    ids, queries, llms = found.users.ids, found.queries.ids, found.llms.ids
    told = {
        (ids[user], queries[query], llms[target.argmax()], "".join(llms[offered]))
        for user, query, target, offered in zip(
            decisions.user, decisions.query, decisions.target, decisions.offered, strict=True
        )
    }
    assert told == {
        ("judge0000", "x", "b", "abc"),
        ("judge0000", "y", "c", "ac"),
        ("judge0001", "y", "a", "ac"),
        ("judge0002", "x", "c", "abc"),
        ("judge0002", "y", "c", "ac"),
    }
