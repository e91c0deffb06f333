"""Runs a command: checks its flags, turns bad input into one line and exit code 1, other errors into exit code 70.

Errors of absl's flags and of overrides are in the words of this project: what was expected, what was found.
"""

import dataclasses
import os
import pathlib
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn, TextIO, cast

from absl import app, flags, logging

from prouter_jax.config import current_path, field_type
from prouter_jax.config_fields import hint, list_fields
from prouter_jax.io.cache import keep_compiled_programs
from prouter_jax.io.display import PlainStream

_COMPILATION_CACHE = flags.DEFINE_boolean(
    "compilation_cache", True, "Keep compiled programs for later commands, in $XDG_CACHE_HOME/prouter_jax/compiled."
)
CRASH = 70  # exit code of an unexpected error (EX_SOFTWARE of sysexits.h)

_UNSET = re.compile(r"flag --([\w.]+)=None: Flag --\1 must have a value other than None\.")
_NO_VALUE = re.compile(r"Missing value for flag --([\w.]+)")
_WRONG = re.compile(r"flag --([\w.]+)=(.*?): (.*)", re.DOTALL)
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def start(
    main: Callable[[], None], passes_on: bool = False, saved: Callable[[], str] = lambda: "nothing was to be saved"
) -> None:
    """Parses the flags and runs `main`; an error of flags, files or data is one line on stderr and exit code 1.

    Ctrl-C and SIGTERM are one line as well.

    Args:
      passes_on: whether the arguments after -- are for another program.
      saved: says what is on disk after a signal, for that line.
    """

    def parse(argv: list[str]) -> list[str]:
        try:
            left = flags.FLAGS(argv)
        except SystemExit:  # absl ends --help with exit code 1
            sys.exit(0)
        except Exception as error:
            # ml_collections lets through KeyError, TypeError and errors of the experiment file
            _fail(flag_error(argv, error))
        if left[1:] and not (passes_on and left[1:] == passed_on(argv)):
            _fail(f"expected flags only, found {left[1]!r}")
        for name in flags.FLAGS:
            flag = flags.FLAGS[name]
            if flag.present and flag.value == "" and not name.startswith("config."):
                _fail(f"flag --{name}: expected a value, found none")
        return left

    def guarded(_) -> None:
        logging.set_verbosity(logging.WARNING)  # Orbax logs every file
        try:
            if _COMPILATION_CACHE.value:
                keep_compiled_programs()
            signal.signal(signal.SIGTERM, _interrupt)  # commands that save first have a handler of their own meanwhile
            main()
        except (ValueError, OSError, ImportError) as error:
            _fail(str(error))
        except KeyboardInterrupt as stopped:
            name = str(stopped) or "SIGINT"
            _fail(f"stopped by {name}; {saved()}", 128 + signal.Signals[name])
        except Exception as error:
            if _lacks_memory(error):
                _fail(f"expected more memory, found too little ({type(error).__name__}: {str(error)[:200]})")
            traceback.print_exc()
            _end(CRASH)  # not 1, Python's own: pod does not retry bad input

    # ids, texts and the answers of servers are data: none of them steers the terminal
    sys.stdout, sys.stderr = cast(TextIO, PlainStream(sys.stdout)), cast(TextIO, PlainStream(sys.stderr))
    logging.get_absl_handler().python_handler.stream = sys.stderr
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS["compilation_cache"])  # --help lists it
    sys.argv[1:] = [_current_name(arg) for arg in sys.argv[1:]]  # ml_collections reads overrides from sys.argv itself
    app.run(guarded, flags_parser=parse)


def module_command(name: str) -> list[str]:
    """The command line that runs another module of this package in a process of its own.

    The package is `launch` in the checkout, found in the current folder, and `prouter_jax.launch` where the project is
    installed. There -P keeps the current folder off the path, so that no folder in it hides a package.

    Args:
      name: of the module, such as "train" or "benchmarks.stub_llms".
    """
    package = __name__.rpartition(".")[0]
    return [sys.executable, *(["-P"] if "." in package else []), "-m", f"{package}.{name}"]


def passed_on(argv: list[str]) -> list[str]:
    """The arguments after --, which are for another program."""
    return argv[argv.index("--") + 1 :] if "--" in argv else []


def flag_error(argv: list[str], error: Exception) -> str:
    """The message of an error that parsing the command line raised."""
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


def _current_name(arg: str) -> str:
    """A flag that overrides a field by an old name, under the field's current name."""
    found = re.match(r"(--?(?:no)?config\.)([\w.]+)", arg)
    if not found:
        return arg
    return f"{found[1]}{current_path(found[2])}{arg[found.end() :]}"


def _interrupt(number: int, _) -> NoReturn:
    raise KeyboardInterrupt(signal.Signals(number).name)


def _lacks_memory(error: Exception) -> bool:
    """Whether Python, Arrow, XLA or a thread that cannot start has run out of memory."""
    words = ("RESOURCE_EXHAUSTED", "Out of memory", "start new thread", "bad_alloc")
    return isinstance(error, MemoryError) or any(text in str(error) for text in words)


def _fail(message: str, code: int = 1) -> NoReturn:
    print(f"{pathlib.Path(sys.argv[0]).stem}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    _end(code)


def _end(code: int) -> NoReturn:
    if "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # JAX's shutdown would wait for the other processes, for minutes
    sys.exit(code)


def _unknown_field(argv: list[str]) -> str:
    """A message on the first override of a field that does not exist, which ml_collections does not name."""
    overrides = [found[1] for found in (re.match(r"--?(?:no)?config\.([\w.]+)", arg) for arg in argv) if found]
    for path in overrides:
        try:
            field_type(path)
        except ValueError as unknown:
            return f"--config.{path}: {unknown}{hint(path)}"
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
        examples = [field.example for field in list_fields() if f"config.{field.path}" == name]
        return ", ".join([_KINDS.get(kind.__name__, ""), *(f"such as {example}" for example in examples)])
    parser = flags.FLAGS[name].parser
    if isinstance(parser, flags.BooleanParser):
        return _KINDS["bool"]
    if isinstance(parser, flags.EnumParser):
        return f"one of {', '.join(parser.enum_values)}"
    return parser.syntactic_help
