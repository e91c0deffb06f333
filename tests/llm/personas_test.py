"""Personas: nine with one style each, then mixtures, and their prompts."""

import numpy as np
import pytest

from prouter_jax.llm.judges.base import STYLES, WISHES, Persona, make_personas


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
