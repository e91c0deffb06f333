"""Privacy of logs: hashed user names, masked secrets and e-mail addresses."""

import hashlib
import hmac
import os
from collections.abc import Callable

import pyarrow as pa

from prouter_jax.data.logs.masking import mask_text

_DIGITS = 32  # hexadecimal digits of a user's hash: 128 of 256 bits
_FEWEST_BYTES = 16


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
    return _each_once(users, lambda user: pseudonym(user, key))


def pseudonym(user: str, key: bytes) -> str:
    """`hash_users` for one user."""
    return hmac.digest(key, user.encode(), hashlib.sha256).hex()[:_DIGITS]


def mask_texts(texts: pa.Array, random_words: bool = False) -> pa.Array:
    """Masks secrets and e-mail addresses in each text, see `masking.mask_text`."""
    return _each_once(texts, lambda text: mask_text(text, random_words))


def mask_users(users: pa.Array, key: bytes) -> pa.Array:
    """Masks users whose ids are e-mail addresses or secrets, and keeps them apart by a hash.

    Args:
      users: texts [rows].
      key: that nobody knows; another key gives other ids.
    """

    def mask(user: str) -> str:
        masked = mask_text(user, random_words=False)
        return user if masked == user else f"{masked}-{hmac.digest(key, user.encode(), hashlib.sha256).hex()[:_DIGITS]}"

    return _each_once(users, mask)


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
