"""Where an LLM's server is, and the key that it wants; keys come from the environment and are told to nobody else."""

import dataclasses
import os
import urllib.parse

_OPENAI = "https://api.openai.com/v1"


@dataclasses.dataclass(frozen=True)
class Address:
    """An OpenAI-compatible server.

    Attributes:
      base_url: its URL up to /v1.
      key_variable: of the environment, with the key; "" for a server that wants none.
      needs_key: whether there must be one.
    """

    base_url: str
    key_variable: str
    needs_key: bool

    def key(self) -> str:
        """The key, "" for none.

        Raises:
          ValueError: if it is needed and missing, or cannot be a key.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key and self.needs_key:
            server = ", or OPENAI_BASE_URL of a server without keys" if self.base_url == _OPENAI else ""
            raise ValueError(f"environment: expected {self.key_variable}{server}, found none")
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"environment: expected a key of visible ASCII characters in {self.key_variable}")
        return key


def find_address(base_url: str = "", key_variable: str = "") -> Address:
    """The server that a user named.

    Args:
      base_url: default: OPENAI_BASE_URL, and if that is not set, OpenAI's own.
      key_variable: default: OPENAI_API_KEY, but no key for a `base_url` of one's own: another server's key is not
        for it.

    Raises:
      ValueError: if it is no URL of a server, or has a password in it, which would get into files.
    """
    if not base_url:
        base_url = os.environ.get("OPENAI_BASE_URL", "")
        needs_key = bool(key_variable) or not base_url
        base_url, key_variable = base_url or _OPENAI, key_variable or "OPENAI_API_KEY"
    else:
        needs_key = bool(key_variable)
    _check(base_url)
    return Address(base_url.rstrip("/"), key_variable, needs_key)


def _check(base_url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(base_url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        parts, sound = None, False
    if parts is not None and (parts.username is not None or parts.password is not None or parts.query):
        raise ValueError("base_url: expected a URL without user, password or query, found one with them")
    if not sound:
        raise ValueError(f"base_url: expected http://HOST... or https://HOST..., found {base_url[:80]!r}")
