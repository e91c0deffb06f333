"""What must not be in a table: who the users are, their secrets and e-mail addresses."""

import hashlib
import hmac
import os
import re
from collections.abc import Callable

import pyarrow as pa

_DIGITS = 32  # of 64 in hexadecimal: 128 bits name a user well enough
_FEWEST_BYTES = 16
_EMAIL = re.compile(r"[\w.+%-]+@[\w-]+(?:\.[\w-]+)+")
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
    from detect_secrets.core.scan import scan_line  # pyright: ignore[reportMissingImports]
    from detect_secrets.settings import default_settings  # pyright: ignore[reportMissingImports]

    with default_settings():
        found = {secret.secret_value for line in text.splitlines() for secret in scan_line(line)}
    for secret in sorted(filter(None, found), key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return _EMAIL.sub(EMAIL, text)
