"""Privacy of logs: hashed user names, masked secrets and e-mail addresses."""

import functools
import hashlib
import hmac
import os
import re
from collections.abc import Callable, Iterator

import pyarrow as pa

_DIGITS = 32  # hexadecimal digits of a user's hash: 128 of 256 bits
_FEWEST_BYTES = 16
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{20,}")
_SHORTEST = 4
_IGNORED_TYPES = ("Public IP (ipv4)",)
EMAIL, SECRET = "<email>", "<secret>"
"""Replacements of masked texts."""


def read_key(variable: str) -> bytes:
    """Reads the key of `hash_users` from an environment variable.

    Raises:
      ValueError: if the key is missing or shorter than 16 bytes; the message never contains the key.
    """
    key = os.environ.get(variable, "").encode("utf-8", "surrogateescape")
    if len(key) < _FEWEST_BYTES:
        found = "fewer" if key else "nothing"
        raise ValueError(
            f"environment variable {variable}: expected a key of at least {_FEWEST_BYTES} bytes, found {found}"
        )
    return key


def hash_users(users: pa.Array, key: bytes) -> pa.Array:
    """Pseudonyms: the first 128 bits of HMAC-SHA256 (RFC 2104) in hexadecimal.

    Without the key, users can neither be identified nor guessed by hashing names.

    Args:
      users: texts [rows].
      key: at least 16 bytes.
    """
    return _each_once(users, lambda user: hmac.digest(key, user.encode(), hashlib.sha256).hex()[:_DIGITS])


def mask_texts(texts: pa.Array) -> pa.Array:
    """Replaces e-mail addresses by <email> and secrets by <secret>.

    detect-secrets finds keys, tokens and passwords; a pattern finds addresses. (presidio and scrubadub also find names
    and locations, but need hundreds of MB of language models.)

    Raises:
      ImportError: if detect-secrets is not installed.
    """
    return _each_once(texts, _mask)


def require_mask() -> None:
    """Raises an ImportError if detect-secrets, which `mask_texts` needs, is not installed."""
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
    """Tokens, keys and passwords, found by their form or context, and long words with a high entropy."""
    detectors, entropy_detectors = _detectors()
    for detector in detectors:
        for found in detector.analyze_line("", line):
            if (
                len(found.secret_value or "") >= _SHORTEST
            ):  # for a GitHub token the detector also reports its first letters alone
                yield found.secret_value
    for word in _LONG_WORD.findall(line):
        if any(one.calculate_shannon_entropy(word) > one.entropy_limit for one in entropy_detectors):
            yield word


@functools.cache
def _detectors() -> tuple[list, list]:
    """The detectors of forms and those of entropy; none contacts a server.

    The scan function of detect-secrets is not used: it takes every word of a text for random.
    """
    from detect_secrets.core.plugins.util import (  # pyright: ignore[reportMissingImports]
        get_mapping_from_secret_type_to_class,
    )

    made = [plugin() for plugin in get_mapping_from_secret_type_to_class().values()]
    chance = [plugin for plugin in made if hasattr(plugin, "entropy_limit")]
    return [plugin for plugin in made if plugin not in chance and plugin.secret_type not in _IGNORED_TYPES], chance
