"""All faults: python -m tests.faults kills|flips|pairs|fuzz, from the root of the checkout; --help lists the flags."""

import argparse
import collections
import os
import pathlib
import shutil
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[1])]
# compiled programs need not be fast, see conftest.py
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")
os.environ |= {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "OPENBLAS_NUM_THREADS": "1", "NO_PROXY": "127.0.0.1"}
os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}

from faults import cases, cases_of_training  # noqa: E402
from faults.cases_of_service import serve_case  # noqa: E402
from faults.warm import Warm  # noqa: E402
from judge_server import JudgeServer  # noqa: E402

_MOST = {"train": 20}  # operations that are tried by default; of all other commands all


def kills(warm: Warm, home: pathlib.Path, arguments: argparse.Namespace) -> list[str]:
    from faults.sweep import sweep

    wrong = []
    with JudgeServer(cases.echo) as server:
        named = cases.file_cases() | {"collect": cases.collect_case(server)}
        named |= {"serve": serve_case(), "train": cases_of_training.train_case()}
        if not set(arguments.only or ["score"]) <= named.keys():
            named |= cases.router_cases(_trained(warm, home, 0), warm)
        for name in arguments.only or named:
            begun = time.monotonic()
            most = arguments.number or _MOST.get(name)
            found = sweep(warm, named[name], home / name, most=most, first=arguments.first)
            ended = ", ".join(f"{number} {how}" for how, number in found.ended.items())
            runs = found.runs.total()
            print(f"{name}: {found.operations} operations, {runs} runs: {ended}; {len(found.wrong)} wrong", end="")
            print(f"; {time.monotonic() - begun:.0f} s", *found.wrong, sep="\n", flush=True)
            wrong += found.wrong
    return wrong


def flips(warm: Warm, home: pathlib.Path, arguments: argparse.Namespace) -> list[str]:
    from faults.flips import everywhere, flip, replace, sample

    workdir, other = (_trained(warm, home, seed) for seed in (0, 1))
    for number in (1, 2):
        feedback = cases.write_feedback(workdir, home / f"feedback{number}.jsonl", number)
        for one in (workdir, other):
            if number == 2 and one == workdir:
                shutil.copytree(workdir, home / "earlier")
            assert warm.run(["update", f"--workdir={one}", f"--feedback={feedback}"]).code == 0
    places = everywhere(workdir) if arguments.all else sample(workdir, arguments.number or 500)
    flipped = flip(workdir, places)
    print(f"{len(places):,} flips: {dict(flipped.ended)}, {len(flipped.wrong)} wrong", flush=True)
    replaced = replace(workdir, {"other seed": other, "earlier": home / "earlier"}, home / "replaced", 100)
    print(
        f"{replaced.ended.total():,} lost, cut, swapped, foreign: {dict(replaced.ended)}, {len(replaced.wrong)} wrong"
    )
    return flipped.wrong + replaced.wrong


def pairs(warm: Warm, home: pathlib.Path, arguments: argparse.Namespace) -> list[str]:
    from faults.pairs import race_all

    wrong, rounds = [], arguments.number or 10
    with JudgeServer(cases.echo) as server, Warm(home) as second:
        races = {
            "tables": lambda: cases.race_on_tables(server),
            "router": lambda: cases_of_training.race_on_router(_trained(warm, home, 0)),
            "training": lambda: cases_of_training.race_on_training(_trained(warm, home, 0)),
        }
        for name in arguments.only or races:
            prepare, commands, state = races[name]()
            commands = {one: commands[one] for one in arguments.command or commands}
            raced = race_all((warm, second), prepare, commands, state, home / name, rounds)
            print(f"{name}: {raced.rounds} rounds, {raced.ended}, {len(raced.wrong)} wrong", flush=True)
            wrong += raced.wrong
    return wrong


def fuzz(warm: Warm, home: pathlib.Path, arguments: argparse.Namespace) -> list[str]:
    from faults.doors_of_data import doors_of_data
    from faults.doors_of_llms import doors_of_llms
    from faults.doors_of_routers import doors_of_router
    from faults.fuzz import fuzz as read

    from prouter_jax import Router

    router = Router.load(_trained(warm, home, 0))
    with JudgeServer(None) as server:
        doors = doors_of_data() | doors_of_llms(server) | doors_of_router(router)
        chosen = {name: doors[name] for name in arguments.only or doors}
        first = arguments.first
        found = read(chosen, range(first, first + (arguments.number or 10_000)), home / "inputs")
    for name, ended in found.ended.items():
        print(f"{name}: {ended.total():,} inputs: {dict(ended)}")
    total = sum(found.ended.values(), collections.Counter())
    print(f"{total.total() + len(found.wrong):,} inputs: {dict(total)}, {len(found.wrong)} wrong")
    return found.wrong


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("what", choices=["kills", "flips", "pairs", "fuzz"])
    parser.add_argument("--number", type=int, default=0, help="operations a command, flips, rounds a pair, or inputs")
    parser.add_argument("--first", type=int, default=0, help="the first operation, or input of fuzz")
    parser.add_argument("--only", action="append", help="a command, a door, or a kind of pairs; may be repeated")
    parser.add_argument("--command", action="append", help="of pairs: races these commands alone; may be repeated")
    parser.add_argument("--all", action="store_true", help="flip every byte that a load reads")
    parser.add_argument("--home", help="folder to work in, which stays")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = pathlib.Path(arguments.home or folder).absolute()
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(home / "compiled")
        with Warm(home / "warm") as warm:
            wrong = globals()[arguments.what](warm, home, arguments)
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))


def _trained(warm: Warm, home: pathlib.Path, seed: int) -> pathlib.Path:
    ended = warm.run(cases_of_training.train(home / f"trained{seed}", seed))
    assert ended.code == 0, ended.said
    return home / f"trained{seed}" / "run"


if __name__ == "__main__":
    main()
