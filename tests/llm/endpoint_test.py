"""Endpoints and their keys: a server never gets the key of another."""

import pytest

from prouter_jax.llm.pool import Endpoint, find_endpoint


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.setenv("MINE", " sk-mine\n")


def test_openai_and_its_key_are_the_default(monkeypatch):
    assert find_endpoint() == Endpoint("https://api.openai.com/v1", "OPENAI_API_KEY", True)
    assert find_endpoint().read_key() == "sk-openai"
    assert find_endpoint(key_variable="MINE").read_key() == "sk-mine"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://here:1/v1/")
    assert find_endpoint() == Endpoint("http://here:1/v1", "OPENAI_API_KEY", False)


def test_openais_key_is_not_sent_to_another_server():
    assert find_endpoint("http://localhost:8000/v1").read_key() == ""
    assert find_endpoint("http://localhost:8000/v1", "MINE").read_key() == "sk-mine"


def test_a_missing_key_is_an_error(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(
        ValueError, match=r"^environment: expected OPENAI_API_KEY, or OPENAI_BASE_URL of a server without"
    ):
        find_endpoint().read_key()
    with pytest.raises(ValueError, match=r"^environment: expected NOT_SET, found none$"):
        find_endpoint("http://localhost/v1", "NOT_SET").read_key()


@pytest.mark.parametrize("key", ["sk with space", "sk-\x01", "sk-é", "sk\nsk"])
def test_an_invalid_key_is_refused_and_not_printed(monkeypatch, key):
    monkeypatch.setenv("MINE", key)
    with pytest.raises(ValueError, match=r"visible ASCII characters in MINE$"):
        find_endpoint("http://localhost/v1", "MINE").read_key()


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://host/v1", "http://", "http://host:port/v1", "http://h:99999/v1"]
)
def test_an_invalid_url_is_refused(url):
    with pytest.raises(ValueError, match=r"^base_url: expected http://HOST"):
        find_endpoint(url)


@pytest.mark.parametrize("url", ["http://me:word@host/v1", "https://host/v1?key=secret"])
def test_secrets_in_a_url_are_refused_and_not_printed(url):
    with pytest.raises(ValueError, match=r"^base_url: expected a URL without user, password or query") as caught:
        find_endpoint(url)
    assert "word" not in str(caught.value).replace("password", "")
    assert "secret" not in str(caught.value)
