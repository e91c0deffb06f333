"""Whose a request is: the key or a trusted header says it, the body alone never does."""

import hashlib

import pytest
from serve_cases import client_of, key_lines, open_service

from prouter_jax.data.logs.privacy import pseudonym
from prouter_jax.serving.service.identity import Identity, Keys, read_keys
from prouter_jax.serving.service.start import make_identity

ASKED = {"query": "Hello", "model": "birch", "thumb": "up"}
KEYS = Keys(key_lines(), "keys")


def _client(tmp_path, identity):
    return client_of(open_service(tmp_path / "state.sqlite"), identity=identity)


@pytest.mark.parametrize("header", [None, "Bearer nope", "Bearer ", "Basic ann's key", "ann's key", "Bearer \xff"])
def test_without_a_known_key_there_is_no_answer(tmp_path, header):
    with _client(tmp_path, Identity(KEYS)) as client:
        answer = client("GET", "/v1/models", headers={} if header is None else {"Authorization": header.encode()})
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert answer.json()["error"]["type"] == "authentication_error"


def test_a_users_key_is_for_that_user_alone(tmp_path):
    with _client(tmp_path, Identity(KEYS, "X-User", True)) as client:
        client.ok("POST", "/v1/feedback", ASKED, "ann's key", {"X-User": "bob"})
        assert client.ok("GET", "/v1/users/ann", key="ann's key")["feedback"] == 1
        assert client.ok("GET", "/v1/users/bob", key="bob's key")["feedback"] == 0
        assert client("POST", "/v1/feedback", ASKED | {"user": "bob"}, "ann's key").status_code == 403
        for method in ("GET", "PUT", "DELETE"):
            body = {} if method == "PUT" else None
            assert client(method, "/v1/users/bob", body, key="ann's key").status_code == 403


def test_a_gateway_names_the_user_in_the_trusted_header(tmp_path):
    key = "the gateway's key"
    with _client(tmp_path, Identity(KEYS, "X-User")) as client:
        client.ok("POST", "/v1/feedback", ASKED, key, {"X-User": "Ünal".encode()})
        assert client.ok("GET", "/v1/users/me", key=key, headers={"X-User": "Ünal".encode()})["user"] == "Ünal"
        assert client("POST", "/v1/feedback", ASKED, key).json()["error"]["code"] == "no_user"
        answer = client("POST", "/v1/feedback", ASKED | {"user": "ann"}, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "untrusted_user")
        assert client("POST", "/v1/route", {"query": "x", "user": "b"}, key, {"X-User": "a"}).status_code == 403
        assert client("GET", "/v1/models", key=key, headers={"X-User": ""}).status_code == 200
        assert client("POST", "/v1/route", {"query": "x"}, key, {"X-User": "a\tb"}).status_code == 400


def test_a_gateway_names_the_user_in_the_body_where_that_is_trusted(tmp_path):
    with _client(tmp_path, Identity(KEYS, None, True)) as client:
        client.ok("POST", "/v1/feedback", ASKED | {"user": "eve"}, "the gateway's key")
        assert client.ok("GET", "/v1/users/eve", key="the gateway's key")["feedback"] == 1


def test_ids_of_users_are_hashed_as_in_logs(tmp_path):
    secret = b"sixteen bytes at least"
    with _client(tmp_path, Identity(KEYS, hash_key=secret)) as client:
        client.ok("POST", "/v1/feedback", ASKED, "ann's key")
        assert client.ok("GET", "/v1/users/me", key="ann's key")["user"] == pseudonym("ann", secret)
        client.ok("POST", "/v1/route", {"query": "Hello"}, "ann's key")
    assert not any(b"ann" in path.read_bytes() for path in tmp_path.iterdir())


def test_keys_are_read_from_a_file_or_a_variable_and_never_shown(tmp_path):
    path = tmp_path / "keys.txt"
    path.write_text(f"# a comment\n\n{key_lines()}\n")
    assert read_keys(str(path), None).find("ann's key").user == "ann"
    assert read_keys(None, key_lines().replace("\n", ",")).find("the gateway's key").user is None
    assert read_keys(None, None) is None
    for wrong in ("my plain key user ann", f"{hashlib.sha256(b'x').hexdigest()} owner", "", f"{key_lines()}\n" * 2):
        path.write_text(wrong)
        with pytest.raises(ValueError, match=r"keys\.txt(, line \d)?: expected") as raised:
            read_keys(str(path), None)
        assert "plain" not in str(raised.value)


def test_all_digits_of_a_key_count():
    digest = hashlib.sha256(b"x").hexdigest()
    assert Keys(f"{digest} user eve", "keys").find("x").user == "eve"
    assert Keys(f"{digest[:16]}{'0' * 48} user eve", "keys").find("x") is None


def test_a_service_without_any_identity_does_not_start():
    with pytest.raises(ValueError, match="expected --keys, --user_header or --trust_body, found none"):
        make_identity(None, None, None, False, None)
    assert make_identity(None, None, "X-User", False, None).keys is None
