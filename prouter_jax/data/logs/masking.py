"""Masks secrets and e-mail addresses in a text; docs/logs.md lists what is found and what is not.

Own patterns find what a name or a phrase announces; detect-secrets finds the forms of known services' keys, and random
words. (presidio and scrubadub also find names and places, but need hundreds of MB of language models.)
"""

import functools
import re
from collections.abc import Iterator

EMAIL, SECRET = "<email>", "<secret>"
"""Replacements of masked texts."""

_SHORTEST = 4
_IGNORED_TYPES = ("Public IP (ipv4)", "JSON Web Token")  # the latter takes the square of a line's length
_LONG_WORD = re.compile(r"[A-Za-z0-9+/=_-]{20,}")
# the right side of NAME@1.2, NAME@v4 and NAME@latest is the version of a package
_EMAIL = re.compile(
    r"[\w.+%-]{1,64}@(?:[\w-]+(?:\.[\w-]+)+|(?!v?\d|(?:latest|next|main|master|stable)\b)[A-Za-z][\w-]+)"
)

# whole blocks; one that was cut off goes to the end of the text
_BLOCKS = re.compile(
    r"-----BEGIN [^\n-]*PRIVATE KEY[^\n-]*-----.*?(?:-----END [^\n-]*-----|\Z)"
    r"|Private-Lines:.*?(?:Private-MAC: *\w+|\Z)",
    re.DOTALL,
)
_FORMS = re.compile(
    r"\b(?:sk|pk|rk)[-_](?:ant-|proj-|live_|test_|or-)?[\w-]{16,}|\bgh[pousr]_\w{16,}|\bgithub_pat_\w{20,}"
    r"|\bglpat-[\w-]{16,}|\bxox[abeoprs]-[\w-]{10,}|\bxapp-[\w-]{10,}|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bAIza[\w-]{30,}"
    r"|\bya29\.[\w-]{16,}|\bhf_\w{16,}|\bnpm_\w{30,}|\bpypi-[\w-]{16,}|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bwhsec_\w{16,}"
    r"|\bdop_v1_\w{32,}|\bshp(?:at|ca|pa|ss)_\w{32}|\bAGE-SECRET-KEY-1\w{20,}|\bgsk_\w{16,}|\bxai-\w{16,}"
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?|\b\d{8,10}:[\w-]{35}\b|https://hooks\.slack\.com/\S+"
)
# each pattern has a secret as its group "secret", and what announces it before that
_NAME = (
    r"(?:passw(?:or)?d|passwort|passphrase|passcode|(?<![A-Za-z0-9])pwd|secret|api[_ -]?key|access[_-]?key"
    r"|account[_-]?key|private[_-]?key|token(?!s|iz)|credentials?|signature|(?<![A-Za-z0-9])sig)[\w.-]{0,40}"
)
_VALUE = (
    r"""(?:"(?P<secret>[^"\n]{4,500})"|'(?P<single>[^'\n]{4,500})'|(?P<bare>(?![\w.]*[(\[])[^\s"'()\[\]{}<>,;&]{4,}))"""
)
# repetitions before the secret are bounded: a text of megabytes must take no square of its length
_ANNOUNCED = (
    re.compile(rf"(?i){_NAME}[\"']?\s{{0,9}}(?:=>|:=|[=:])\s{{0,9}}{_VALUE}"),
    re.compile(rf"(?i)--?{_NAME}\s{{1,9}}{_VALUE}"),
    re.compile(r"(?i)\bauthorization[\"']?\s{0,9}[:=]\s{0,9}[\"']?(?:[a-z]{1,20}\s{1,9})?(?P<secret>[^\s\"',;]{4,})"),
    re.compile(r"(?i)\b(?:bearer|basic|token|password|passwd)\s{1,9}(?P<secret>(?=[^\s\"']*\d)[\w.~+/=!@#$%^&*-]{6,})"),
    re.compile(r"(?i)\bbearer\s{1,9}(?P<secret>[\w.~+/=-]{16,})"),
    re.compile(r"://(?P<secret>[^\s/@:]{0,256}:[^\s/@]{1,256})@"),
    re.compile(r"(?i)\bcurl\b[^\n]{0,300}?\s(?:-u|--user)\s{0,9}[\"']?(?P<secret>[^\s\"':]{1,256}:[^\s\"']+)"),
    re.compile(r"(?i)\bmysql\b[^\n]{0,300}?\s-p(?P<secret>[^\s\"']{4,})"),
    re.compile(r"(?i)\bsshpass\s{1,9}-p\s{0,9}[\"']?(?P<secret>[^\s\"']{4,})"),
)
_SAID = re.compile(
    r"(?i)\b(?:passw(?:or)?d|passwort|passphrase|passcode|pin|secret|api[ -]?key|access key|token)"
    r"(?: (?:for|of|to|on) (?:\S{1,40} ){1,4}?|\s{1,9})(?:is|was|ist|lautet)\s{0,9}:?\s{1,9}[\"'`]?"
    r"(?P<secret>[^\s\"'`]{3,}[^\s\"'`.,;:!?)])"
)
# words after "the password is" that are no password
_NOT_SAID = frozenset(
    "about accepted again allowed almost already also always asked based being called changed checked compromised "  # noqa: SIM905
    "correct created currently defined different displayed empty encoded encrypted ending entered expired expiring "
    "given going hashed hidden incorrect invalid just leaked limited longer lost mandatory missing needed never not "
    "null only optional passed present printed properly protected random rejected required reset returned revoked same "
    "saved secure sent shorter short shown simply something still stored strong supposed that their there too unique "
    "unknown used valid very weak what when where whether working wrong your".split()
)


def mask_text(text: str, random_words: bool = True) -> str:
    """Replaces e-mail addresses by <email> and secrets by <secret>.

    Args:
      random_words: whether long words of high entropy are secrets. Ids are often random.

    Raises:
      ImportError: if detect-secrets is not installed.
    """
    text = _FORMS.sub(SECRET, _BLOCKS.sub(SECRET, text))
    for pattern in _ANNOUNCED:
        text = pattern.sub(_without_secret, text)
    text = _SAID.sub(lambda found: found[0] if found["secret"].lower() in _NOT_SAID else _without_secret(found), text)
    detected = {secret for line in text.splitlines() for secret in _detect(line, random_words)}
    for secret in sorted(detected, key=len, reverse=True):
        text = text.replace(secret, SECRET)
    return _EMAIL.sub(EMAIL, text)


def _without_secret(found: re.Match) -> str:
    """The matched text with its secret, the group that matched, masked."""
    start, end = next(found.span(name) for name in found.groupdict() if found[name] is not None)
    return found.string[found.start() : start] + SECRET + found.string[end : found.end()]


def _detect(line: str, random_words: bool) -> Iterator[str]:
    """Keys by their form or context, and long words with a high entropy."""
    detectors, entropy_detectors = _detectors()
    for detector in detectors:
        for found in detector.analyze_line("", line):
            # for a GitHub token the detector also reports its first letters alone
            if len(found.secret_value or "") >= _SHORTEST and SECRET not in found.secret_value:
                yield found.secret_value
    for word in _LONG_WORD.findall(line) if random_words else []:
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
