"""The commands that are disturbed: what each finds, what is run, and what must be there in the end."""

import functools
import hashlib
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator

from faults.sweep import Case, Command, State
from faults.warm import Warm
from judge_server import Act, JudgeServer
from log_files import made_up_rows, write_log
from public_files import PRISM
from table_files import write_rows

from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.io.paths import files_below


def state_of(folder: pathlib.Path, *ignored: str) -> dict[str, str]:
    """SHA-256 of every file below a folder by its name, and each empty folder."""
    names = [name for name in files_below(folder) if name not in ignored]
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    return found | {f"{path.relative_to(folder)}/": "" for path in folder.rglob("*") if path.is_dir()}


def logs(folder: pathlib.Path, log: str = "log.jsonl") -> list[str]:
    return ["logs", f"--input={folder}/{log}", f"--out={folder}/out"]


def convert(folder: pathlib.Path) -> list[str]:
    return ["convert", "--format=prism", f"--input={folder}/utterances.jsonl", f"--out={folder}/out"]


def update(folder: pathlib.Path, feedback: str = "feedback.jsonl") -> list[str]:
    return ["update", f"--workdir={folder}/run", f"--feedback={folder}/{feedback}"]


def score(folder: pathlib.Path, *flags: str) -> list[str]:
    paths = [f"--workdir={folder}/run", f"--input={folder}/pairs.jsonl", f"--output={folder}/scored.parquet"]
    return ["score", *paths, *flags]


def collect(folder: pathlib.Path) -> list[str]:
    return ["collect", f"--queries={folder}/queries.jsonl", f"--llms={folder}/llms.json", f"--out={folder}/out", *_ONE]


def write_feedback(workdir: pathlib.Path, path: pathlib.Path, number: int) -> pathlib.Path:
    """A file of choices for a router, another one for each number."""
    llms = read_tables(workdir / "world" / "tables").llms.ids.tolist()
    rows = [{"user_id": f"new {number}", "query": f"What is {row}?", "llm": llms[row]} for row in range(3)]
    return write_rows(path, rows)


def with_router(workdir: pathlib.Path, folder: pathlib.Path) -> None:
    """A trained router with two files of feedback and one of pairs."""
    shutil.copytree(workdir, folder / "run")
    known = read_tables(folder / "run" / "world" / "tables")
    users, llms = [*known.users.ids.tolist(), "new"], known.llms.ids.tolist()
    texts = [f"What is {row} + {row}?" for row in range(6)]
    rows = [
        {"user_id": [*users, "new"][row - 3], "query": text, "llm": llms[row % 3]} for row, text in enumerate(texts)
    ]
    write_rows(folder / "feedback.jsonl", rows)
    write_rows(folder / "other.jsonl", rows[:2])
    write_rows(folder / "pairs.jsonl", [{"user_id": row["user_id"], "query": row["query"]} for row in rows])


def file_cases() -> dict[str, Case]:
    """Of commands that read and write tables."""
    return {
        "logs": Case("logs", _with_log, logs, state_of),
        "convert": Case("convert", _with_answers, convert, state_of),
    }


def router_cases(workdir: pathlib.Path, warm: Warm) -> dict[str, Case]:
    """Of commands on a trained router; `warm` runs the commands that come before."""

    def with_parts(folder: pathlib.Path) -> None:
        with_router(workdir, folder)
        assert warm.run(score(folder, "--shard=0/2")).code == 0

    def parts_again(folder: pathlib.Path) -> Iterator[list[str]]:
        yield score(folder, "--shard=1/2")
        if (folder / "scored.parquet.parts").exists():  # the other part was joined and is gone
            yield score(folder, "--shard=0/2")

    def joined(folder: pathlib.Path) -> dict[str, str]:
        """Without parts whose removal failed after all was joined: they stay until the same command runs again."""
        parts = "scored.parquet.parts/"
        return {name: digest for name, digest in state_of(folder).items() if not name.startswith(parts)}

    prepare = functools.partial(with_router, workdir)
    return {
        "update": Case("update", prepare, update, state_of),
        "score": Case("score", prepare, score, state_of),
        "join": Case("join", with_parts, lambda folder: score(folder, "--shard=1/2"), joined, parts_again),
    }


def collect_case(server: JudgeServer) -> Case:
    """Of answers that a server gives; failures.jsonl keeps what a kill may have cost."""

    def prepare(folder: pathlib.Path) -> None:
        folder.mkdir()
        rows = [{"query_id": f"q{row}", "query": f"What is {row}?"} for row in range(3)]
        write_rows(folder / "queries.jsonl", rows)
        llm = {"model": "m", "base_url": server.url, "input_price": 1, "output_price": 1, "attempts": 1}
        (folder / "llms.json").write_text(json.dumps({"a": llm, "b": llm | {"model": "n"}}))

    def state(folder: pathlib.Path) -> dict[str, str]:
        answers = folder / "out" / "answers.jsonl"
        lines = [json.loads(line) for line in answers.read_text().splitlines()] if answers.exists() else []
        asked = {(line["llm"], line["query_id"]): line["text"] for line in lines}
        told = {"answers": repr(sorted(asked.items())), "number of answers": str(len(lines))}
        return state_of(folder, "out/answers.jsonl", "out/failures.jsonl") | told

    return Case("collect", prepare, collect, state)


Race = tuple[Callable[[pathlib.Path], None], dict[str, Command], State]


def race_on_tables(server: JudgeServer) -> Race:
    """What is in a folder, the commands that meet in one of tables, and which files count."""
    answers = collect_case(server)

    def prepare(folder: pathlib.Path) -> None:
        answers.prepare(folder)
        write_log(folder / "log.jsonl", made_up_rows(40))
        write_log(folder / "other.jsonl", made_up_rows(30, seed=1))
        write_rows(folder / "utterances.jsonl", PRISM)

    commands: dict[str, Command] = {"logs": logs, "convert": convert, "collect": collect}
    return prepare, commands | {"other logs": lambda folder: logs(folder, "other.jsonl")}, answers.state


def echo(messages: list[dict], number: int) -> Act:
    """The answer of the server of `collect_case`."""
    return Act(f"You asked: {messages[-1]['content']}")


_ONE = ("--concurrency=1",)


def _with_log(folder: pathlib.Path) -> None:
    folder.mkdir()
    write_log(folder / "log.jsonl", made_up_rows(40))


def _with_answers(folder: pathlib.Path) -> None:
    folder.mkdir()
    write_rows(folder / "utterances.jsonl", PRISM)
