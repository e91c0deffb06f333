"""The JSON file of a pool: its fields, and one clear line for every error."""

import json

import pytest

from prouter_jax.llm.pool import RemoteLlm, read_llms

PLAIN = {"model": "m", "input_price": 1, "output_price": 2.5}


def _read(tmp_path, content):
    path = tmp_path / "llms.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_llms(path)


def test_missing_fields_have_defaults(tmp_path):
    more = {
        "base_url": "http://here/v1",
        "requests_per_minute": 60,
        "temperature": 0,
        "family": "f",
        "system": "Be brief.",
    }
    first, second = _read(tmp_path, {"a": PLAIN, "b": PLAIN | more})
    assert first == RemoteLlm("a", "m", 1.0, 2.5)
    assert second == RemoteLlm(
        "b",
        "m",
        1.0,
        2.5,
        base_url="http://here/v1",
        requests_per_minute=60.0,
        temperature=0.0,
        family="f",
        system="Be brief.",
    )
    assert second.messages("Hi") == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert first.messages("Hi") == [{"role": "user", "content": "Hi"}]


BAD = {
    "unknown": ({"a": PLAIN | {"url": "x"}}, r"llm 'a', field url: expected one of model, input_price, .*, pool$"),
    "missing": ({"a": {"model": "m", "input_price": 1}}, r"llm 'a', field output_price: expected it, found none$"),
    "text": ({"a": PLAIN | {"input_price": "1"}}, r"field input_price: expected a number >= 0, found \"1\"$"),
    "bool": ({"a": PLAIN | {"input_price": True}}, r"field input_price: expected a number >= 0, found true$"),
    "negative": ({"a": PLAIN | {"output_price": -1}}, r"field output_price: expected a number >= 0, found -1$"),
    "nan": ('{"a": {"model": "m", "input_price": NaN, "output_price": 1}}', r"input_price: .*found NaN$"),
    "part": (
        {"a": PLAIN | {"max_output_tokens": 1.5}},
        r"max_output_tokens: expected a whole number >= 1, found 1\.5$",
    ),
    "no attempt": ({"a": PLAIN | {"attempts": 0}}, r"field attempts: expected a whole number >= 1, found 0$"),
    "no model": ({"a": PLAIN | {"model": ""}}, r"field model: expected a text, found \"\"$"),
    "null": ({"a": PLAIN | {"timeout": None}}, r"field timeout: expected a number >= 0\.001, found null$"),
    "url": ({"a": PLAIN | {"base_url": "here"}}, r"llm 'a', field base_url: expected http://HOST.*found 'here'$"),
    "no fields": ({"a": "m"}, r"llm 'a': expected a name and an object of fields, found \"m\"$"),
    "no name": ({" ": PLAIN}, r"llm ' ': expected a name and an object"),
    "twice": ('{"a": {}, "a": {}}', r"^llms\.json: expected JSON, found the name 'a' twice in one object$"),
    "empty": ({}, r"^llms\.json: expected an object of LLMs by name, found \{\}$"),
    "list": ([PLAIN], r"^llms\.json: expected an object of LLMs by name, found \["),
    "torn": ('{"a": ', r"^llms\.json: expected JSON, found Expecting value"),
}


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_file_is_an_error_of_one_line(tmp_path, name):
    content, message = BAD[name]
    with pytest.raises(ValueError, match=message) as caught:
        _read(tmp_path, content)
    assert str(caught.value).startswith("llms.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: expected a file, found none$"):
        read_llms(tmp_path / "none.json")


def test_the_key_of_an_answer_depends_on_query_and_parameters():
    llm = RemoteLlm("a", "m", 1.0, 2.0)
    same = [RemoteLlm("b", "m", 3.0, 4.0, family="f", concurrency=2, timeout=1.0, attempts=2, requests_per_minute=1)]
    others = [RemoteLlm("a", "n", 1.0, 2.0), RemoteLlm("a", "m", 1.0, 2.0, base_url="http://here/v1")]
    others += [RemoteLlm("a", "m", 1.0, 2.0, **change) for change in ({"temperature": 0.0}, {"system": "s"})]
    others += [RemoteLlm("a", "m", 1.0, 2.0, max_output_tokens=5)]
    keys = {*llm.keys(["q", "r"]), *(other.keys("q")[0] for other in others)}
    assert len(keys) == 7
    assert {other.keys("q")[0] for other in same} == set(llm.keys("q"))
