"""Forty forms of secrets in any column of a log are in no file of the tables; ordinary questions stay as they are."""

import json

import pyarrow.parquet as pq
import pytest
from log_files import ROW, write_log

from prouter_jax.data.logs.convert import Options, convert_log

pytest.importorskip("detect_secrets", reason="pip install 'prouter-jax[mask]'")

from prouter_jax.data.logs.masking import mask_text

_LINES = "MIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\nlastLineOfTheKey"
# made up: none opens anything
FORMS = {
    "ann.lee+x@mail.example.org": ["ann.lee"],
    "ssh root@localhost": ["root@"],
    "scp a.txt deploy@buildbox:/tmp": ["deploy@"],
    "Authorization: Bearer abcDEF123456": ["abcDEF123456"],
    "curl -H 'Authorization: Basic dXNlcjpwYXNz'": ["dXNlcjpwYXNz"],
    "bearer abcdefghijklmnopqrstuv": ["abcdefghijklmnopqrstuv"],
    "API_TOKEN=tok-5ecret": ["tok-5ecret"],
    "export MY_API_KEY='k3y value'": ["k3y value"],
    'password = "hunter2hunter2"': ["hunter2hunter2"],
    "password: swordfish": ["swordfish"],
    '{"client_secret": "s3cr3t-value"}': ["s3cr3t-value"],
    "db.passwd := rosebud1": ["rosebud1"],
    "my password is swordfish.": ["swordfish"],
    "the password for the router is Tr0ub4dor&3": ["Tr0ub4dor&3"],
    "My PIN is 4711": ["4711"],
    "the passphrase was correct-horse-battery": ["correct-horse-battery"],
    "mysql -u root -phunter2 shop": ["hunter2"],
    "tool --password hunter22 --verbose": ["hunter22"],
    "curl -u ann:pa55word https://example.org": ["pa55word"],
    "sshpass -p 'pa55word' ssh host": ["pa55word"],
    "machine h login ann password pa55word": ["pa55word"],
    "postgres://ann:pa55word@db/shop": ["pa55word"],
    "Server=db;Uid=ann;Pwd=pa55word;": ["pa55word"],
    "DefaultEndpointsProtocol=https;AccountKey=c2VjcmV0c2VjcmV0": ["c2VjcmV0c2VjcmV0"],
    "https://x.org/f?a=1&sig=c2VjcmV0&b=2": ["c2VjcmV0"],
    f"-----BEGIN RSA PRIVATE KEY-----\n{_LINES}\n-----END RSA PRIVATE KEY-----": _LINES.split("\n"),
    f"-----BEGIN OPENSSH PRIVATE KEY-----\n{_LINES}": _LINES.split("\n"),
    "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkq\\nlastLine\\n-----END PRIVATE KEY-----": ["lastLine"],
    f"Private-Lines: 3\n{_LINES}\nPrivate-MAC: 0123abcd": [*_LINES.split("\n"), "0123abcd"],
    "sk-" + "a1B2" * 6: ["a1B2a1B2"],
    "sk-ant-api03-" + "a1B2" * 6: ["a1B2a1B2"],
    "ghp_" + "a1B2" * 9: ["a1B2a1B2"],
    "github_pat_" + "a1B2" * 9: ["a1B2a1B2"],
    "glpat-" + "a1B2" * 5: ["a1B2a1B2"],
    "AKIAIOSFODNN7EXAMPLE": ["IOSFODNN7"],
    "AIza" + "a1B2" * 9: ["a1B2a1B2"],
    "xoxb-" + "123456789012-" + "a1B2" * 6: ["a1B2a1B2"],
    "hf_" + "aBcD" * 8: ["aBcDaBcD"],
    "npm_" + "a1B2" * 9: ["a1B2a1B2"],
    "SG." + "a1B2" * 5 + "." + "a1B2" * 10: ["a1B2a1B2"],
    "sk_" + "live_" + "a1B2" * 6: ["a1B2a1B2"],
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": ["eyJzdWIiOiIxIn0", "c2lnbmF0dXJl"],
    "1234567890:" + "a1B2c" * 7: ["a1B2ca1B2c"],
}
COLUMNS = ("user", "prompt", "task", "model", "candidates")
PLAIN = [
    "What is 12 @ 3 dollars? Explain the tokenizer's password field.",
    "Sort [3, 1, 2]; see https://example.org/a?b=c",
    "tokens = tokenizer(text); max_tokens=1000",
    'token = os.environ["TOKEN_NAME"]',
    "api_key = get_key(user)",
    "Why is the password not accepted? The password is wrong.",
    "The token is invalid: what does basic authentication need?",
    "npm install lodash@latest, uses: actions/checkout@v4",
    "accounts/fireworks/models/llama-v3p1-405b-instruct",
    "us.anthropic.claude-3-5-sonnet-20240620-v1:0",
    "0b3f9c1e-8a54-4c37-9a54-0f6f6f2f7f11",
    "a" * 3 + "0123456789abcdef" * 2,
]


@pytest.mark.parametrize("column", COLUMNS)
def test_forty_forms_of_secrets_are_in_no_table(tmp_path, column):
    assert len(FORMS) >= 40
    rows = [ROW | _with(column, f"see {text}" if column == "prompt" else text) for text in FORMS]
    counts = convert_log([write_log(tmp_path / "log.jsonl", rows)], tmp_path / "out", Options(mask=True))
    cells = "\n".join(str(pq.read_table(path).to_pylist()) for path in (tmp_path / "out").glob("*.parquet"))
    assert [(text, part) for text, parts in FORMS.items() for part in parts if part in cells] == []
    told = json.loads((tmp_path / "out" / "log.json").read_text())
    name = {"prompt": "query", "model": "served", "candidates": "candidates"}.get(column, column)
    # an object in JSON is no user and no model
    objects = sum(text.startswith("{") for text in FORMS) if column in ("user", "model") else 0
    assert told["masked"][name] == counts.masked[name] == len(FORMS) - objects
    assert counts.kept == len(FORMS) - objects
    assert not told["users_hashed"]


def _with(column, text):
    if column == "model":
        return {"model": text, "candidates": [text, "b"]}
    return {column: ["a", text] if column == "candidates" else text}


@pytest.mark.parametrize("text", PLAIN)
def test_ordinary_texts_and_ids_stay_as_they_are(text):
    assert mask_text(text, random_words=False) == text


def test_random_words_are_secrets_in_texts_alone():
    word = "q7ZxP0aLk9WmR2tYv8NcB4sJ"
    assert mask_text(f"use {word} now") == "use <secret> now"
    assert mask_text(word, random_words=False) == word


def test_users_who_are_addresses_stay_apart_and_nobody_can_guess_them(tmp_path):
    rows = [ROW | {"user": user} for user in ("ann@example.org", "bob@example.org", "ann@example.org", "u7")]
    users = []
    for out in ("one", "other"):
        path = write_log(tmp_path / "log.jsonl", rows)
        convert_log([path], tmp_path / out, Options(mask=True))
        users.append(pq.read_table(tmp_path / out / "decisions.parquet")["user_id"].to_pylist())
        assert users[-1][0] == users[-1][2] != users[-1][1]
        assert users[-1][0].startswith("<email>-")
        assert users[-1][3] == "u7"
    assert users[0][0] != users[1][0]  # the key is drawn for each conversion
