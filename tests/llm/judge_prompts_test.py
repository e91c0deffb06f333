"""Prompts of the LLM judge, the format of its replies, and journal keys."""

import numpy as np
import pytest

from prouter_jax.llm.judges import prompts
from prouter_jax.llm.judges.base import make_personas

PERSONA = make_personas(1, seed=0)[0]


def test_the_reply_names_one_of_the_answers():
    assert prompts.reply_format(3).parse('{"best": 3}') == 3
    with pytest.raises(ValueError, match="from 1 to 3, found 4"):
        prompts.reply_format(3).parse('{"best": 4}')


def test_answers_are_numbered_from_one_in_the_given_order():
    messages = prompts.build_messages(PERSONA, "Why?", ["a", "b", "c"], [0.1] * 3, np.array([2, 0, 1]))
    text = messages[1]["content"]
    assert "<answer 1>\nc\n</answer 1>\n\n<answer 2>\na\n</answer 2>\n\n<answer 3>\nb\n</answer 3>" in text
    assert "answers 1 to 3" in text
    assert "<question>\nWhy?\n</question>" in text
    assert PERSONA.prompt() in messages[0]["content"]


def test_orders_are_permutations_that_differ_by_person_query_and_seed():
    seeds = [prompts.order_seed(*parts) for parts in ((0, "u", "q"), (1, "u", "q"), (0, "v", "q"), (0, "u", "r"))]
    assert len(set(seeds)) == 4
    assert prompts.order_seed(0, "u", "q") == seeds[0]
    orders = {tuple(prompts.draw_order(seed, 10)) for seed in seeds}
    assert len(orders) == 4
    assert all(sorted(order) == list(range(10)) for order in orders)


def test_different_verdicts_have_different_keys():
    persona, question = (
        prompts.persona_digest("m", PERSONA),
        prompts.question_digest("q", ["a", "b"], None),
    )
    keys = {
        prompts.verdict_key(persona, question, 1),
        prompts.verdict_key(persona, question, 2),
        prompts.verdict_key(prompts.persona_digest("n", PERSONA), question, 1),
        prompts.verdict_key(prompts.persona_digest("m", make_personas(2, 0)[1]), question, 1),
        prompts.verdict_key(persona, prompts.question_digest("q", ["b", "a"], None), 1),
        prompts.verdict_key(persona, prompts.question_digest("q", ["ab", ""], None), 1),
        prompts.verdict_key(persona, prompts.question_digest("q", ["a", "b"], [1.0, 2.0]), 1),
    }
    assert len(keys) == 7
    assert all(len(key) == 64 for key in keys)
