"""The command `prouter`: `prouter train --config=embedded` runs launch/train.py, and so on for every command.

`python -m launch` is the same in a checkout that is not installed.
"""

import ast
import difflib
import pathlib
import runpy
import sys

import prouter_jax

COMMANDS = (
    *("train", "evaluate", "score", "explain", "update", "forget", "serve", "export"),
    *("off_policy", "reproduce", "sweep", "config"),
    *("logs", "convert", "build_dataset", "queries", "collect", "grade", "judge"),
    *("pod", "compile", "bench"),
)


def main() -> None:
    """Runs the command that the first argument names, with the arguments after it."""
    given = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if given in ("-h", "--help"):
        print(_help())
    elif given == "--version":
        print(f"prouter {prouter_jax.__version__}")
    elif given.replace("-", "_") in COMMANDS:
        _run(given.replace("-", "_"))
    else:
        near = difflib.get_close_matches(given, COMMANDS, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        sys.exit(f"prouter: expected a command that `prouter --help` lists, found {given!r}{hint}")


def _run(name: str) -> None:
    del sys.argv[1]
    # as `python -m` does: absl's --help shows the docstring and the flags of the module __main__
    runpy.run_module(f"{__name__.rpartition('.')[0]}.{name}", run_name="__main__", alter_sys=True)


def _help() -> str:
    lines = [f"  {name:15}{_first_line(name)}" for name in COMMANDS]
    usage = "usage: prouter COMMAND [--flag=value ...]"
    return "\n".join([usage, "", *lines, "", "`prouter COMMAND --help` lists the flags of a command."])


def _first_line(name: str) -> str:
    """Of a command's docstring; nothing is imported, for all commands define the same flags."""
    source = (pathlib.Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").split("\n")[0]
