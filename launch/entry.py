"""What all entry points share: flags are checked before anything starts, bad input is one line and exit code 1.

Any other error is a traceback and exit code 70.
"""

import os
import pathlib
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags, logging

from prouter_jax.io.cache import keep_compiled_programs

_COMPILATION_CACHE = flags.DEFINE_boolean(
    "compilation_cache", True, "Keep compiled programs for later commands, in $XDG_CACHE_HOME/prouter_jax/compiled."
)
CRASH = 70  # the exit code of an error that nobody expected (EX_SOFTWARE of sysexits.h)


def start(main: Callable[[], None], passes_on: bool = False) -> None:
    """Runs `main` once the flags are parsed; what is wrong with flags, files or data ends in one line on stderr.

    Args:
      passes_on: whether what follows -- is for another program.
    """

    def parse(argv: list[str]) -> list[str]:
        try:
            left = flags.FLAGS(argv)
        except SystemExit:  # absl ends --help with exit code 1
            sys.exit(0)
        except Exception as error:
            # ml_collections lets out whatever it came across: KeyError, TypeError, errors of the experiment file
            _fail(_flag_error(argv, error))
        if left[1:] and not (passes_on and left[1:] == passed_on(argv)):
            _fail(f"expected flags only, found {left[1]!r}")
        for name in flags.FLAGS:
            flag = flags.FLAGS[name]
            if flag.present and flag.value == "" and not name.startswith("config."):
                _fail(f"--{name}: expected a value, found none")
        return left

    def guarded(_) -> None:
        logging.set_verbosity(logging.WARNING)  # Orbax tells of every file
        try:
            if _COMPILATION_CACHE.value:
                keep_compiled_programs()
            main()
        except (ValueError, OSError, ImportError) as error:
            _fail(str(error))
        except Exception:
            traceback.print_exc()
            _end(CRASH)  # Python's own exit code is that of bad input, which is not tried again

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
    """What follows --, which is for another program."""
    return argv[argv.index("--") + 1 :] if "--" in argv else []


def _fail(message: str) -> NoReturn:
    print(f"{pathlib.Path(sys.argv[0]).stem}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    _end(1)


def _end(code: int) -> NoReturn:
    if "jax" in sys.modules and sys.modules["jax"].distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # JAX's own farewell would wait for the other processes, for minutes
    sys.exit(code)


def _flag_error(argv: list[str], error: Exception) -> str:
    """An unknown key of the configuration comes as a KeyError or AttributeError without the flag."""
    overrides = [arg for arg in argv if arg.lstrip("-").startswith("config.")]
    hint = f" (in {' '.join(overrides)})" if overrides and isinstance(error, KeyError | AttributeError) else ""
    return f"{error}{hint}"
