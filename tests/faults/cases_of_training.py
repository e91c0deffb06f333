"""`prouter train`: its folder under faults; two commands at once on a router, trained or half done."""

import functools
import pathlib
import re
import shutil

from faults.cases import Race, score, state_of, update, with_router
from faults.sweep import Case, Command

from prouter_jax import Router
from prouter_jax.data.tables.read_write import read_tables

TINY = (
    *("--config.data.encoder=hash", "--config.data.embedded.num_queries=60", "--config.data.embedded.num_users=6"),
    *("--config.train.num_train_steps=4", "--config.train.eval_every_steps=4", "--config.model.warmup_rounds=2"),
)
_TIMES = re.compile(r'\| (a step|time|commit) \|.*|, "steps_per_second": [0-9.e+-]+|"(a step|time|commit)": "[^"]*"')
_OTHER_NAMES = re.compile(r"/d/[0-9a-f]{32}$")  # TensorStore's, drawn at random
_OTHER_BYTES = re.compile(r"checkpoints/\d+/|(^|/)(speed|root)\.json$|report\.(html|json|md)$|metrics\.jsonl$")
_RUN = "run"


def train(folder: pathlib.Path, seed: int = 0) -> list[str]:
    """A training of seconds: 4 steps, the report, then 4 steps on all decisions."""
    return ["train", "--config=embedded", f"--workdir={folder}/{_RUN}", f"--config.seed={seed}", *TINY]


def train_case() -> Case:
    """Of a training from its start to the router that is served."""
    return Case("train", pathlib.Path.mkdir, train, trained_state)


def race_on_router(workdir: pathlib.Path) -> Race:
    """Commands that meet on a trained router."""
    commands: dict[str, Command] = {"update": update, "score": score}
    commands["other update"] = lambda folder: update(folder, "other.jsonl")
    commands |= {f"shard {part}": lambda folder, part=part: score(folder, f"--shard={part}/2") for part in range(2)}
    user = read_tables(workdir / "world" / "tables").users.ids[0]
    commands["forget"] = lambda folder: ["forget", f"--workdir={folder}/run", f"--user={user}"]
    return functools.partial(with_router, workdir), commands, trained_state


def race_on_training(workdir: pathlib.Path) -> Race:
    """Commands that meet on a run whose report, served router and seal are still missing."""

    def prepare(folder: pathlib.Path) -> None:
        with_router(workdir, folder)
        for part in ("report", "refit"):
            shutil.rmtree(folder / _RUN / part)
        (folder / _RUN / "root.json").unlink()

    return prepare, {"train": train, "update": update}, trained_state


def trained_state(folder: pathlib.Path) -> dict[str, str]:
    """The files of a run without times and speeds, and digests of the routers in place of their checkpoints."""
    found = {_OTHER_NAMES.sub("/d/", name): digest for name, digest in state_of(folder).items()}
    found |= dict.fromkeys([name for name in found if _OTHER_BYTES.search(name)], "")
    for name in ("report/report.md", "report/report.json", "metrics.jsonl", "refit/metrics.jsonl"):
        path = folder / _RUN / name
        found[f"text of {name}"] = _TIMES.sub("", path.read_text()) if path.exists() else ""
    found |= {f"router {part}": _trained(folder / _RUN / part) for part in ("", "refit")}
    return found | {"served router": _served(folder / _RUN)}


def _trained(folder: pathlib.Path) -> str:
    """All parameters and data of a router, or why there is none."""
    try:
        return Router.load_trained(folder).digest()
    except ValueError as error:
        return str(error)


def _served(folder: pathlib.Path) -> str:
    """Everything that determines the scores of the router that is served, or why there is none."""
    try:
        return Router.load(folder).digest()
    except ValueError as error:
        return str(error)
