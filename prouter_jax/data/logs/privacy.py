"""What must not be in a table: who the users are, their secrets and e-mail addresses."""

import functools
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterator

import pyarrow as pa

_DIGITS = 32  # of 64 in hexadecimal: 128 bits name a user well enough
_FEWEST_BYTES = 16
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{20,}")
_SHORTEST = 4
_NO_SECRETS = ("Public IP (ipv4)",)
EMAIL, SECRET = "<email>", "<secret>"


def read_key(variable: str) -> bytes:
    """The key in an environment variable, as UTF-8.

    Raises:
      ValueError: naming the variable, if it is not set or shorter than 16 bytes; never with what it holds.
    """
    key = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
    if len(key) < _FEWEST_BYTES:
        found = "fewer" if key else "nothing"
        raise ValueError(
            f"environment variable {variable}: expected a key of at least {_FEWEST_BYTES} bytes, found {found}"
        )
    return key


def hash_users(users: pa.Array, key: bytes) -> pa.Array:
    """HMAC-SHA256 of each text under the key (RFC 2104), its first 128 bits in hexadecimal: who lacks the key can
    neither tell users nor try names out."""
    return _each_once(users, lambda user: hmac.digest(key, user.encode(), hashlib.sha256).hex()[:_DIGITS])


def mask_texts(texts: pa.Array) -> pa.Array:
    """Texts with <email> and <secret> in place of e-mail addresses and of what detect-secrets finds.

    detect-secrets knows keys, tokens and passwords, but no addresses: those are found by a pattern. (presidio and
    scrubadub find names and places as well, with hundreds of MB of language models.)

    Raises:
      ImportError: if detect-secrets is not installed, saying what to install.
    """
    return _each_once(texts, _mask)


def require_mask() -> None:
    """Raises an ImportError if what masks texts is not installed."""
    try:
        import detect_secrets  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("--mask: pip install 'prouter-jax[mask]' first") from None


def _each_once(texts: pa.Array, change: Callable[[str], str]) -> pa.Array:
    encoded = texts.cast(pa.large_string()).dictionary_encode()
    changed = pa.array([change(text) for text in encoded.dictionary.to_pylist()], pa.large_string())
    return changed.take(encoded.indices)


def _mask(text: str) -> str:
    found = {secret for line in text.splitlines() for secret in _secrets(line)}
    for secret in sorted(found, key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return _EMAIL.sub(EMAIL, text)


def _secrets(line: str) -> Iterator[str]:
    """Tokens, keys and passwords by their form or by the words beside them, and long words as random as keys are."""
    detectors, chance = _detectors()
    for detector in detectors:
        for found in detector.analyze_line("", line):
            if len(found.secret_value or "") >= _SHORTEST:  # of a GitHub token it tells the first letters as well
                yield found.secret_value
    for word in _LONG_WORD.findall(line):
        if any(one.calculate_shannon_entropy(word) > one.entropy_limit for one in chance):
            yield word


@functools.cache
def _detectors() -> tuple[list, list]:
    """Those of detect-secrets that look at forms, and those that look at randomness; none asks a server.

    Its own scan of a line of text takes every word for random.
    """
    from detect_secrets.core.plugins.util import (  # pyright: ignore[reportMissingImports]
        get_mapping_from_secret_type_to_class,
    )

    made = [plugin() for plugin in get_mapping_from_secret_type_to_class().values()]
    chance = [plugin for plugin in made if hasattr(plugin, "entropy_limit")]
    return [plugin for plugin in made if plugin not in chance and plugin.secret_type not in _NO_SECRETS], chance
