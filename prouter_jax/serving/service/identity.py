"""Who asks: callers by their API keys, and the user that a request is of.

A key file has a caller a line, with the SHA-256 of its key in hexadecimal; lines that begin with # are comments:

    SHA256 user ann        requests with this key are of the user ann
    SHA256 gateway         the caller is trusted: a header, or the body where that is allowed, names the user
"""

import dataclasses
import hashlib
import hmac
import pathlib
import re
from collections.abc import Mapping

from prouter_jax.data.logs.privacy import pseudonym
from prouter_jax.serving.service.errors import ApiError
from prouter_jax.serving.service.requests import check_id

_LINE = re.compile(r"([0-9a-fA-F]{64})\s+(?:user\s+(\S.*)|gateway)")


@dataclasses.dataclass(frozen=True)
class Caller:
    """A caller.

    Attributes:
      name: distinguishes callers, for rate limits; not the key.
      user: the user that its requests are of; None for a gateway, whose requests name the user.
    """

    name: str
    user: str | None


class Keys:
    """The callers by the SHA-256 of their keys; the keys themselves are not kept.

    Args:
      text: lines as in a key file.
      source: name of the file or variable, for error messages.

    Raises:
      ValueError: naming the line that is wrong; never with its content.
    """

    def __init__(self, text: str, source: str):
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                self._add(line.strip(), f"{source}, line {number}")
        if not self._callers:
            raise ValueError(f"{source}: expected at least one key, found none")

    def find(self, key: str) -> Caller | None:
        """The caller of a key, None for an unknown one.

        The index is on a hash, which a client cannot steer; the comparison takes the same time for all keys.
        """
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        expected, caller = self._callers.get(digest[:8], (bytes(32), None))
        return caller if hmac.compare_digest(digest, expected) else None

    def _add(self, line: str, place: str) -> None:
        match = _LINE.fullmatch(line)
        if not match:
            raise ValueError(f"{place}: expected `SHA256 user NAME` or `SHA256 gateway`, found something else")
        digest, user = bytes.fromhex(match[1]), match[2]
        if user is not None:
            try:
                check_id(user)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from None
        if digest[:8] in self._callers:
            raise ValueError(f"{place}: expected each key once, found one again")
        self._callers[digest[:8]] = digest, Caller(digest.hex()[:16], user)


def read_keys(path: str | None, variable: str | None) -> Keys | None:
    """Reads keys from a file, or else from the text of an environment variable; None without either."""
    if path is not None:
        return Keys(pathlib.Path(path).read_text(encoding="utf-8"), path)
    return Keys(variable.replace(",", "\n"), "PROUTER_KEYS") if variable else None


@dataclasses.dataclass(frozen=True)
class Identity:
    """Says who a request is of.

    Attributes:
      keys: the callers; None if none needs a key.
      user_header: name of the header in which a trusted gateway names the user; None for none.
      trust_body: whether a trusted gateway may name the user in the body.
      hash_key: key of the HMAC that replaces the ids of users; None keeps them.
    """

    keys: Keys | None = None
    user_header: str | None = None
    trust_body: bool = False
    hash_key: bytes | None = None

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """The caller of a request.

        Raises:
          ApiError: 401 without a known key.
        """
        if self.keys is None:
            return Caller("anyone", None)
        scheme, _, key = headers.get("authorization", "").partition(" ")
        caller = self.keys.find(key.strip()) if scheme.lower() == "bearer" else None
        if caller is None:
            message = "Authorization: expected `Bearer KEY` with a known key, found another or none"
            raise ApiError(401, message, None, "invalid_api_key", {"WWW-Authenticate": "Bearer"})
        return caller

    def user(self, caller: Caller, headers: Mapping[str, str], named: str | None) -> str:
        """The id of the user that a request is of, hashed if ids are.

        Args:
          named: the user that the body or the path names, if any.

        Raises:
          ApiError: 400 without a user, 403 if the caller may not name this one.
        """
        if caller.user is not None:
            user = caller.user
            if named not in (None, user):
                raise ApiError(403, "user: expected the user of the API key, found another", "user", "wrong_user")
        else:
            user = self._named_by_gateway(headers, named)
        return user if self.hash_key is None else pseudonym(user, self.hash_key)

    def _named_by_gateway(self, headers: Mapping[str, str], named: str | None) -> str:
        in_header = headers.get(self.user_header.lower()) if self.user_header else None
        if in_header is not None:
            in_header = _utf8(in_header)
            if named not in (None, in_header):
                raise ApiError(403, f"user: expected that of {self.user_header}, found another", "user", "wrong_user")
            try:
                return check_id(in_header)
            except ValueError as error:
                raise ApiError(400, f"{self.user_header}: {error}", self.user_header, "invalid_user") from None
        if named is not None and self.trust_body:
            return named
        expected = f"the header {self.user_header}" if self.user_header else "a user in the body"
        if named is not None:
            raise ApiError(403, f"user: expected it in {expected}; the body is not trusted", "user", "untrusted_user")
        raise ApiError(400, f"user: expected {expected}, found none", self.user_header or "user", "no_user")


def _utf8(header: str) -> str:
    """A header that was read as Latin-1, as HTTP has it, read as UTF-8 if it is."""
    try:
        return header.encode("latin-1").decode()
    except UnicodeError:
        return header
