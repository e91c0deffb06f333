"""What is said to an LLM and what counts of its reply."""

import numpy as np
import pytest

from prouter_jax.judges import dialogue
from prouter_jax.judges.personas import make_personas

PERSONA = make_personas(1, seed=0)[0]


def test_the_reply_names_one_of_the_answers():
    assert dialogue.best_form(3).parse('{"best": 3}') == 3
    with pytest.raises(ValueError, match="from 1 to 3, found 4"):
        dialogue.best_form(3).parse('{"best": 4}')


def test_answers_are_numbered_from_one_in_the_given_order():
    messages = dialogue.build_messages(PERSONA, "Why?", ["a", "b", "c"], [0.1] * 3, np.array([2, 0, 1]))
    text = messages[1]["content"]
    assert "<answer 1>\nc\n</answer 1>\n\n<answer 2>\na\n</answer 2>\n\n<answer 3>\nb\n</answer 3>" in text
    assert "answers 1 to 3" in text
    assert "<question>\nWhy?\n</question>" in text
    assert PERSONA.prompt() in messages[0]["content"]


def test_orders_are_permutations_that_differ_by_person_query_and_seed():
    seeds = [dialogue.order_seed(*parts) for parts in ((0, "u", "q"), (1, "u", "q"), (0, "v", "q"), (0, "u", "r"))]
    assert len(set(seeds)) == 4
    assert dialogue.order_seed(0, "u", "q") == seeds[0]
    orders = {tuple(dialogue.draw_order(seed, 10)) for seed in seeds}
    assert len(orders) == 4
    assert all(sorted(order) == list(range(10)) for order in orders)


def test_keys_tell_apart_what_differs():
    persona, question = (
        dialogue.persona_digest("m", PERSONA),
        dialogue.question_digest("q", ["a", "b"], None),
    )
    keys = {
        dialogue.verdict_key(persona, question, 1),
        dialogue.verdict_key(persona, question, 2),
        dialogue.verdict_key(dialogue.persona_digest("n", PERSONA), question, 1),
        dialogue.verdict_key(dialogue.persona_digest("m", make_personas(2, 0)[1]), question, 1),
        dialogue.verdict_key(persona, dialogue.question_digest("q", ["b", "a"], None), 1),
        dialogue.verdict_key(persona, dialogue.question_digest("q", ["ab", ""], None), 1),
        dialogue.verdict_key(persona, dialogue.question_digest("q", ["a", "b"], [1.0, 2.0]), 1),
    }
    assert len(keys) == 7
    assert all(len(key) == 64 for key in keys)
