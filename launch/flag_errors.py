"""Errors of absl's flags and of overrides in the words of this project: what was expected, what was found."""

import dataclasses
import re

from absl import flags

from prouter_jax.config import field_type

_UNSET = re.compile(r"flag --([\w.]+)=None: Flag --\1 must have a value other than None\.")
_NO_VALUE = re.compile(r"Missing value for flag --([\w.]+)")
_WRONG = re.compile(r"flag --([\w.]+)=(.*?): (.*)", re.DOTALL)
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def flag_error(argv: list[str], error: Exception) -> str:
    """The message of an error that parsing the command line raised.

    Args:
      argv: the arguments.
      error: raised by absl or by ml_collections.
    """
    if isinstance(error, KeyError | AttributeError):
        return _unknown_field(argv) or str(error)
    unset = _UNSET.findall(str(error)) + _NO_VALUE.findall(str(error))
    if unset:
        return "; ".join(f"flag --{name}: expected {_purpose(name)}, found none" for name in unset)
    wrong = _WRONG.fullmatch(str(error))
    if wrong and not wrong[3].startswith("expected"):
        name, value, reason = wrong.groups()
        return f"flag --{name}: expected {_kind(name)}, found {value!r}" if _kind(name) else f"flag --{name}: {reason}"
    return str(error)


def _unknown_field(argv: list[str]) -> str:
    """A message on the first override of a field that does not exist, which ml_collections does not name."""
    overrides = [found[1] for found in (re.match(r"--?(?:no)?config\.([\w.]+)", arg) for arg in argv) if found]
    try:
        for path in overrides:
            field_type(path)
    except ValueError as unknown:
        return str(unknown)
    return ""


def _purpose(name: str) -> str:
    """A value, with the help of the flag where it has one."""
    text = (flags.FLAGS[name].help or "").split("; ")[0].rstrip(".")
    return f"a value ({text})" if text else "a value"


def _kind(name: str) -> str:
    """What a flag or a field of the configuration accepts; "" if that is unknown."""
    if name.startswith("config."):
        kind = field_type(name.removeprefix("config."))
        if dataclasses.is_dataclass(kind):
            return f"a field of this section ({', '.join(field.name for field in dataclasses.fields(kind))})"
        return _KINDS.get(kind.__name__, "")
    parser = flags.FLAGS[name].parser
    if isinstance(parser, flags.BooleanParser):
        return _KINDS["bool"]
    if isinstance(parser, flags.EnumParser):
        return f"one of {', '.join(parser.enum_values)}"
    return parser.syntactic_help
