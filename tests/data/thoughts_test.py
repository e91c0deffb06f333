"""Thoughts of reasoning models are stripped from answers, and answers without thoughts stay as they are."""

import random

import numpy as np
import pytest

from prouter_jax.data.thoughts import strip_all, strip_thoughts

THOUGHTS = {
    "think": "<think>\nIs it B? #### 5\n</think>\n\nParis",
    "capitals": "<THINK>hm</Think>Paris",
    "attribute": '<think duration="3">hm</think>\nParis',
    "other tag": "<reasoning>B, or C</reasoning>\n\nParis",
    "seed": "<seed:think>hm</seed:think>Paris",
    "magistral": "[THINK]hm[/THINK]Paris",
    "kimi": "◁think▷hm◁/think▷Paris",
    "sky": "<|begin_of_thought|>hm<|end_of_thought|>\n\nParis",
    "cohere": "<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Paris<|END_RESPONSE|>",
    "no opening tag": "Is it London? No.\n</think>\n\nParis",
    "no opening tag, one line": "London.</think>Paris",
    "opening tag in a thought": "<think>I could write <think> here</think>Paris",
    "nested": "<think>a<think>b</think>c</think>Paris",
    "two": "<think>a</think>\n<think>b</think>\nParis",
    "code in a thought": "<think>```python\nprint(1)\n</think>Paris",
    "answer tag": "<think>hm</think>\n<answer> Paris </answer>",
    "harmony": ("<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Paris<|return|>"),
    "harmony without its tokens": "analysisWe need the capital.assistantfinalParis",
}


@pytest.mark.parametrize("name", THOUGHTS)
def test_a_thought_is_stripped(name):
    assert strip_thoughts(THOUGHTS[name]) == "Paris"


@pytest.mark.parametrize(
    "text",
    [
        "<think>it could be 12 but",
        "  <thinking>",
        "<reasoning>so far",
        "<think>a</think>",
        "[THINK]hm",
        "<|channel|>analysis<|message|>hm, the",
    ],
)
def test_an_answer_cut_off_in_mid_thought_is_no_answer(text):
    assert strip_thoughts(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Paris\n",
        "Use `<think>` and `</think>` around it.",
        'The tag "<think>" opens, "</think>" closes.',
        "Write it between <think> and </think> and send it.",
        "It ends with </think>.",
        "```xml\n<think>hm</think>\n```\nThat is all.",
        "She paused. <thought>I am hungry</thought> Then she ate.",
        "analysis of the poem: it rhymes",
        "<answer>4</answer>",
        "a < b and b > c",
    ],
)
def test_an_answer_about_tags_stays_as_it_is(text):
    assert strip_thoughts(text) == text


def test_thoughts_between_parts_of_an_answer_are_stripped():
    assert strip_thoughts("First.\n<think>hm</think>\nSecond.") == "First.\n\nSecond."
    assert strip_thoughts("First.\n<think>cut off") == "First."


def test_stripping_again_changes_nothing():
    pieces = ["<think>", "</think>", "a", "\n", " ", "`", "```", "<reasoning>", "</reasoning>", "[THINK]", "<answer>"]
    pieces += ["</answer>", "assistantfinal", "analysis", "<|channel|>final<|message|>", "<|return|>", ". The"]
    rng = random.Random(0)
    for _ in range(3000):
        text = "".join(rng.choices(pieces, k=rng.randint(1, 9)))
        once = strip_thoughts(text)
        assert strip_thoughts(once) == once, text
        assert len(once) <= len(text)


def test_a_long_answer_full_of_tags_takes_no_time():
    """A quadratic reading of these megabytes would take minutes."""
    assert strip_thoughts("<think>" * 150_000) == ""
    assert strip_thoughts("a <think> b" * 100_000).startswith("a <think> b")
    assert strip_thoughts("<thought></thought><answer>" * 40_000)


def test_many_answers_are_stripped_and_counted():
    texts = np.array(["<think>hm</think>4", "5", "", "<think>"], object)
    answers, number = strip_all(texts)
    assert answers.tolist() == ["4", "5", "", ""]
    assert number == 2
    assert texts[0].startswith("<think>")
