"""Users under a key, secrets and addresses out of texts."""

import hashlib
import hmac

import pyarrow as pa
import pytest

from prouter_jax.data.logs.masking import EMAIL, SECRET
from prouter_jax.data.logs.privacy import hash_users, mask_texts, read_key

KEY = b"0123456789abcdef"


def test_users_are_hashed_by_the_standard_and_stay_told_apart():
    found = hash_users(pa.array(["ann", "bob", "ann"]), KEY).to_pylist()
    assert found[0] == hmac.new(KEY, b"ann", hashlib.sha256).hexdigest()[:32]
    assert found[0] == found[2] != found[1]
    assert hash_users(pa.array(["ann"]), KEY + b"!").to_pylist() != found[:1]


def test_a_key_comes_from_the_environment_and_is_never_told(monkeypatch):
    monkeypatch.setenv("LOG_KEY", KEY.decode())
    assert read_key("LOG_KEY") == KEY
    for value, found in (("secret7", "fewer"), ("", "nothing")):
        monkeypatch.setenv("LOG_KEY", value)
        with pytest.raises(
            ValueError, match=f"variable LOG_KEY: expected a key of at least 16 bytes, found {found}"
        ) as error:
            read_key("LOG_KEY")
        assert "secret7" not in str(error.value)


def test_secrets_and_addresses_are_masked_and_nothing_else():
    pytest.importorskip("detect_secrets", reason="pip install 'prouter-jax[mask]'")
    texts = [
        "Write to ann.lee+x@mail.example.org, please.",
        "My key is AKIAIOSFODNN7EXAMPLE, why is it refused?",
        'password = "hunter2hunter2"\nHow do I change it?',
        "What is 12 @ 3 dollars? Explain the tokenizer's password field.",
        "Sort [3, 1, 2]; see https://example.org/a?b=c",
    ]
    found = mask_texts(pa.array(texts), random_words=True).to_pylist()
    assert found[0] == f"Write to {EMAIL}, please."
    assert found[1] == f"My key is {SECRET}, why is it refused?"
    assert "hunter2" not in found[2]
    assert "How do I change it?" in found[2]
    assert found[3:] == texts[3:]
