"""The style judge: utilities, Gumbel noise, and verdicts that are independent of each other."""

import dataclasses
import os
import pathlib
import time

import numpy as np
import pytest
from judge_server import make_questions

from prouter_jax.config import Judge
from prouter_jax.data.interactions import strings
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.llm.judges.base import STYLES, TOO_FEW_ANSWERS, Persona, Questions, build_questions, make_personas
from prouter_jax.llm.judges.style_judge import StyleJudge, score_styles

ANSWERS = (
    "1. Take it.\n2. Turn it.\n3. Then finally stop.",
    "Dear friend, I hope you are happy! I care, and I understand your feelings.",
    "Haha, wow! What a silly, funny, crazy pirate joke! Boom!",
    "7 of 9.",
    "Because of the reason that causes it; therefore, for example, it results in more. That explains why.",
)


@pytest.fixture
def questions() -> Questions:
    """40 queries with the same five answers of different styles, each from another LLM every time."""
    made = make_questions(40, 5)
    rng = np.random.default_rng(0)
    for row in range(40):
        made.answers[row] = np.array(ANSWERS, object)[rng.permutation(5)]
    return made


def _only(style=None, quality=0.0, cost=0.0, name="x"):
    return Persona(name, tuple(float(style == other) for other in STYLES), quality, cost)


@pytest.mark.parametrize("style", ["steps", "warmth", "play", "brevity", "explanation"])
def test_without_noise_a_persona_with_one_style_chooses_it(questions, style):
    choice = StyleJudge(questions, noise=0.0, seed=0).choose([_only(style)], questions).choice[0]
    chosen = questions.answers[np.arange(40), choice]
    best = score_styles(["What is 0?"] * 5, ANSWERS)[:, STYLES.index(style)].argmax()
    assert set(chosen) == {ANSWERS[best]}


def test_quality_and_cost_count(questions):
    rng = np.random.default_rng(1)
    effect, cost = rng.random((40, 5)), rng.random((40, 5))
    given = dataclasses.replace(questions, effect=effect, cost=cost)
    judge = StyleJudge(given, noise=0.0, seed=0)
    choice = judge.choose([_only(quality=1.0), _only(cost=1.0)], given).choice
    np.testing.assert_array_equal(choice, [effect.argmax(1), cost.argmin(1)])


def test_missing_effect_and_cost_count_as_the_mean(questions):
    effect = np.tile([0.0, 0.25, 0.5, 0.75, 1.0], (40, 1))
    cost = np.exp(effect)
    effect[:, 4] = cost[:, 0] = np.nan
    given = dataclasses.replace(questions, effect=effect, cost=cost)
    judge = StyleJudge(given, noise=0.0, seed=0)
    choice = judge.choose([_only(quality=1.0), _only(cost=1.0)], given).choice
    assert set(choice[0]) == {3}
    assert set(choice[1]) == {1}
    worse = dataclasses.replace(given, effect=np.where(np.isnan(effect), effect, -effect))
    assert set(StyleJudge(worse, 0.0, 0).choose([_only(quality=1.0)], worse).choice[0]) == {0}
    # and among answers below the mean the missing one is best
    low = dataclasses.replace(given, effect=np.tile([0.1, 0.2, np.nan, np.nan, np.nan], (40, 1)))
    low.effect[0] = 1.0
    assert set(StyleJudge(low, 0.0, 0).choose([_only(quality=1.0)], low).choice[0, 1:]) == {2}


def test_costs_that_are_all_zero_or_unknown_have_no_effect(questions):
    for cost in (np.zeros((40, 5)), np.full((40, 5), np.nan)):
        given = dataclasses.replace(questions, cost=cost)
        judge = StyleJudge(given, noise=0.0, seed=0)
        plain, minding = judge.choose([_only("steps"), _only("steps", cost=1.0)], given).choice
        np.testing.assert_array_equal(plain, minding)


def test_a_verdict_does_not_depend_on_other_personas_and_questions(questions):
    for (row, llm), answer in np.ndenumerate(questions.answers):  # no two questions alike
        questions.answers[row, llm] = f"{answer}{' and so on' * (7 * row * (llm + 1) % 50)}."
    judge, personas = StyleJudge(questions, noise=0.5, seed=0), make_personas(30, seed=0)
    every = judge.choose(personas, questions).choice
    rows = np.array([31, 4, 17])
    some = judge.choose(personas[20:10:-3], questions.take(rows)).choice
    np.testing.assert_array_equal(some, every[20:10:-3][:, rows])


def test_a_verdict_does_not_depend_on_the_order_of_the_llms(questions):
    order = np.array([3, 0, 4, 1, 2])
    turned = dataclasses.replace(questions, llms=questions.llms[order], answers=questions.answers[:, order])
    personas = make_personas(20, seed=0)
    before, after = (StyleJudge(given, 0.5, 0).choose(personas, given).choice for given in (questions, turned))
    np.testing.assert_array_equal(order[after], before)


def test_noise_is_gumbel_of_the_given_scale():
    """Two answers that nobody can tell apart but by effect, one unit of utility apart: odds are e^(1 / noise)."""
    made = make_questions(4000, 2)
    made.answers[:] = "The same."
    given = dataclasses.replace(made, effect=np.tile([0.0, 1.0], (4000, 1)))  # -1 and 1 standard deviation
    for noise, utility in ((1.0, 1.0), (0.5, 1.0), (1.0, 0.0)):
        judge = StyleJudge(given, noise, seed=0)
        personas = [_only(quality=utility / 2, name=f"x{row}") for row in range(5)]
        share = judge.choose(personas, given).choice.mean()
        assert share == pytest.approx(1 / (1 + np.exp(-utility / noise)), abs=0.01), (noise, utility)


def test_noise_differs_by_persona_question_and_seed():
    made = make_questions(300, 4)
    made.answers[:] = "The same."
    personas = [_only(name="x"), _only(name="y")]
    choice = StyleJudge(made, 1.0, 0).choose(personas, made).choice
    other = StyleJudge(made, 1.0, 1).choose(personas, made).choice
    for one, two in ((choice[0], choice[1]), (choice[0], other[0]), (choice[0], np.roll(choice[0], 1))):
        assert abs((one == two).mean() - 0.25) < 0.08
    np.testing.assert_array_equal(choice, StyleJudge(made, 1.0, 0).choose(personas, made).choice)


def test_an_answer_without_text_is_not_offered(questions):
    questions.answers[0, :] = ["", " ", *ANSWERS[:3]]
    questions.answers[1, :4] = ""
    verdicts = StyleJudge(questions, noise=5.0, seed=0).choose(make_personas(50, 0), questions)
    assert set(verdicts.choice[:, 0]) == {2, 3, 4}
    assert set(verdicts.choice[:, 1]) == {-1}
    assert verdicts.failures == {(row, 1): TOO_FEW_ANSWERS for row in range(50)}


def test_only_the_direction_of_the_style_weights_matters(questions):
    """So a mixture, whose weights of styles are all small, is not more random than a person of one wish."""
    weights = np.arange(1.0, 10.0)
    small, large = (Persona("x", tuple(scale * weights), 0.0, 0.0) for scale in (0.001, 1.0))
    choice = StyleJudge(questions, noise=0.5, seed=0).choose([small, large], questions).choice
    np.testing.assert_array_equal(choice[0], choice[1])
    calm = StyleJudge(questions, noise=0.0, seed=0).choose([large], questions).choice
    assert 0.3 < (choice[1] == calm[0]).mean() < 1


def test_a_thousand_persons_take_seconds():
    made = make_questions(644, 10)
    made = dataclasses.replace(made, ids=strings(range(644)))
    begun = time.process_time()
    choice = StyleJudge(made, 0.1, 0).choose(make_personas(200, 0), made).choice
    assert choice.shape == (200, 644)
    assert time.process_time() - begun < 2


def test_the_style_judge_costs_nothing(questions):
    estimate = StyleJudge(questions, 0.1, 0).estimate_cost(make_personas(3, 0), questions)
    assert (estimate.total, estimate.cost) == (120, 0.0)
    assert estimate.format("verdicts") == "120 verdicts; nothing to pay"


def test_on_real_answers_the_default_noise_changes_one_choice_in_four():
    folder = pathlib.Path(os.environ.get("PROUTER_DATA") or pathlib.Path(__file__).parents[3] / "shared" / "data")
    if not (folder / "alpaca_route").is_dir():
        pytest.skip(f"no data in {folder / 'alpaca_route'}; PROUTER_DATA names the folder")
    real = build_questions(read_tables(folder / "alpaca_route", pool="core"))
    real = real.take(np.arange(0, len(real.ids), 5))
    personas = make_personas(100, seed=0)
    one, other = (StyleJudge(real, Judge().noise, seed).choose(personas, real).choice for seed in (0, 1))
    assert 0.7 < (one == other).mean() < 0.8
    pairs = np.array([(one[row] == one[row + 1]).mean() for row in range(99)])
    assert pairs.mean() < 0.4  # people differ much more than one differs from oneself


QUERY = "How do I boil an egg for breakfast?"
PLAIN = "Boil the egg in water. It takes eight minutes. Cool it under the tap. Peel it and eat it."
MORE = {
    "warmth": "Dear friend, I hope you enjoy your egg. Boil it in water. I understand your worry. Take care!",
    "play": "Wow, an egg party! Imagine a silly egg pirate in a hot tub! Boom, eight minutes, yay! 🥚",
    "steps": "1. Boil the egg.\n2. Wait eight minutes.\n3. Then cool it.\n4. Finally peel it.",
    "brevity": "8 minutes at 100 degrees.",
    "explanation": "Boil the egg, because heat sets the protein. Therefore wait. The reason for cold water is, for "
    "example, that it stops the cooking, which explains why cooks use it.",
    "relevance": "Boil an egg for breakfast: boil the egg.",
    "completeness": "To boil an egg for breakfast, boil it in water. "
    + "Put it in, wait for it, and cool it well. " * 8,
    "eloquence": "Lower the delicate egg, patiently, into simmering water; await, unhurried, its transformation.",
    "simplicity": "It is like a hot bath. Just look. Put it in. See it hop. Like a big fish.",
}


def _scores(*answers, query=QUERY):
    return score_styles([query] * len(answers), answers)


@pytest.mark.parametrize("style", STYLES)
def test_more_of_a_style_scores_higher(style):
    plain, more = _scores(PLAIN, MORE[style])[:, STYLES.index(style)]
    assert more > plain


@pytest.mark.parametrize("style", ["warmth", "play", "steps", "brevity", "explanation", "relevance", "eloquence"])
def test_the_answer_made_for_a_style_has_most_of_it(style):
    scores = _scores(*MORE.values())[:, STYLES.index(style)]
    assert list(MORE)[scores.argmax()] == style


SIGNS = [
    ("warmth", "It is a good old egg.", "It is a Kind old egg."),
    ("warmth", "Put the egg here.", "Put your egg here."),
    ("play", "It is a good old egg.", "It is a Silly old egg."),
    ("play", "It is done.", "It is done!"),
    ("play", "It is done.", "It is done 🥚."),
    ("steps", "Boil it.", "1. Boil it."),
    ("steps", "Boil it.", "- Boil it."),
    ("steps", "So boil it.", "Then boil it."),
    ("brevity", "Boil for some minutes.", "Boil for some 8 minutes."),
    ("explanation", "Boil it so it sets.", "Boil it Because it sets."),
    ("eloquence", "Boil it and cool it.", "Boil it, and cool it."),
    ("eloquence", "Boil it then boil it.", "Boil it then cool it."),
    ("simplicity", "It was a hot bath.", "It was like a hot bath."),
    ("simplicity", "Boil it and then cool it.", "Boil it. And then cool it."),
]


@pytest.mark.parametrize(("style", "without", "having"), SIGNS)
def test_one_more_sign_of_a_style_counts(style, without, having):
    before, after = _scores(without, having)[:, STYLES.index(style)]
    assert after > before


def test_relevance_is_to_the_query():
    to_eggs, to_cars = (_scores(PLAIN, query=query)[0] for query in (QUERY, "How do I change a tyre?"))
    assert to_eggs[STYLES.index("relevance")] > to_cars[STYLES.index("relevance")]
    others = [row for row, style in enumerate(STYLES) if style not in ("relevance", "completeness")]
    np.testing.assert_array_equal(to_eggs[others], to_cars[others])


@pytest.mark.parametrize("rambling", ["egg " * 2000, "No."])
def test_too_much_and_too_little_are_both_incomplete(rambling):
    good, bad = _scores(MORE["completeness"], rambling)[:, STYLES.index("completeness")]
    assert good > bad


def test_an_answer_that_is_cut_off_is_less_complete():
    whole, cut = _scores(PLAIN, PLAIN[:-1])[:, STYLES.index("completeness")]
    assert whole - cut == pytest.approx(0.5)


@pytest.mark.parametrize("text", ["", " \n", "x" * 10000, "=" * 5000, "卵を茹でる。", "🥚" * 100, "1\n2\n3", "\x00"])
def test_any_text_has_finite_scores(text):
    scores = score_styles(["", text], [text, text])
    assert scores.shape == (2, 9)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_apostrophes_of_all_kinds_are_the_same():
    straight, curly = _scores("You're here.", "You\u2019re here.")
    np.testing.assert_array_equal(straight, curly)


def test_thousands_of_answers_a_second():
    answers = [PLAIN * 15] * 500
    begun = time.process_time()
    score_styles([QUERY] * 500, answers)
    assert 500 / (time.process_time() - begun) > 1000
