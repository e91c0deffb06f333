"""A key that a server repeats is in no text, however it is written; other texts stay as they are."""

import base64
import urllib.parse

import pytest

from prouter_jax.llm.redaction import Redactor

SECRET = "sk-proj/aB3+dE6=gH9_jK2"
FORMS = {
    "plain": SECRET,
    "in capitals": SECRET.upper(),
    "the first half": SECRET[:12],
    "the last half": SECRET[-12:],
    "in a URL": urllib.parse.quote(SECRET, safe=""),
    "in a URL, small": urllib.parse.quote(SECRET, safe="").lower(),
    "twice in a URL": urllib.parse.quote(urllib.parse.quote(SECRET, safe=""), safe=""),
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "base64 of a header": base64.b64encode(f"Bearer {SECRET}".encode()).decode(),
    "base64 of a user": base64.b64encode(f"me:{SECRET}\n".encode()).decode(),
    "base64 for URLs": base64.urlsafe_b64encode(f"x{SECRET}".encode()).decode(),
    "hexadecimal": SECRET.encode().hex(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_key_is_found_in_any_writing(form):
    redact = Redactor(SECRET).redact
    found = redact(f"I was told {form}, twice: {form}.")
    assert found.startswith("I was told ")
    assert found.endswith(".")
    assert found.count("[key]") >= 2
    last = form[-len(SECRET) :]  # before it base64 may have what stands before the key
    assert not [start for start in range(len(last) - 9) if last[start : start + 10] in found]


def test_other_texts_stay_as_they_are():
    redact = Redactor(SECRET).redact
    for text in ("", "short", "sk-proj/ is how a key begins", "İ" * 20 + "What is a key?", SECRET[:9]):
        assert redact(text) == text


def test_a_short_key_is_found_whole_and_no_key_nowhere():
    assert Redactor("EMPTY").redact("it is EMPTY") == "it is [key]"
    assert Redactor("").redact("it is EMPTY") == "it is EMPTY"
