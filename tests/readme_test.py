"""What README, BUILD and docs/ promise: commands exist and run, examples run, links and numbers hold."""

import dataclasses
import importlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import made_up_rows, write_log
from public_files import arena_vote, prism_answer, write_alpacaeval
from table_files import write_rows

from launch.cli import COMMANDS
from prouter_jax import Router
from prouter_jax.config import Embedded, ExperimentConfig, validate
from prouter_jax.data.synthetic.benchmark import build_embedded
from prouter_jax.data.tables.read_write import read_tables, write_tables

ROOT = pathlib.Path(__file__).parent.parent
PATHS = [*(ROOT / name for name in ("README.md", "BUILD.md", "CONTRIBUTING.md")), *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("[a-z]*.py"))
LAUNCHERS = sorted(COMMANDS)
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))

# Part of a command -> what keeps tests from running it.
NOT_RUN = {
    "make run": ".ci/run runs it; here a smaller experiment stands where it leaves one",
    "make test": "these tests",
    "bash .ci/run": "runs these tests",
    "python3.11 -m venv": "makes the environment that these tests run in",
    ".venv/bin/pip": "makes the environment that these tests run in",
    "train --config=embedded --workdir=runs/embedded": "make run does the same",
    "train --config=million": "hours; launch.bench --only=epochs measures it",
    "--backend=local": "hours; multi_process_test runs processes of this machine",
    "compile": "minutes and libtpu; compile_test runs it",
    "collect --queries=queries.jsonl --llms=llms.json --out=runs/answers --budget=5": "an API key",
    "grade --answers": "needs answers, which need an API key; collect_proofs_test runs it",
    "--data=../shared/data": "the data and hours",
    "python -m tests.faults": "minutes to hours; kills_test, flips_test and fuzz_test do a part of it",
    "python -m tests.independent": "a minute; simple_readers_test does a part of it",
    "reproduce --table=new_users": "the data and hours",
    "reproduce --table=all --workdir=runs/small": "minutes; tables_test runs it",
    "serve --workdir=runs/embedded --keys": "runs until a signal; serve_test runs it and the requests beside it",
    "serve --workdir=runs/embedded --export": "needs the state of a service; serve_test runs it",
    "update --workdir=runs/embedded --feedback=runs/feedback/thumbs.jsonl": "needs that export; serve_test does it",
    "off_policy --workdir=runs/embedded --log=runs/feedback/log": "a log without exploration is refused",
    "bench --only": "the data",
    "bench --document": "needs runs/bench.json; benchmarks_test writes a table",
}
# Part of a command -> what a test adds to it, to have it done in seconds.
_FEW = ["--config.data.encoder=hash", "--config.train.num_train_steps=4", "--config.train.eval_every_steps=4"]
_TINY = [*_FEW, "--config.data.embedded.num_queries=60", "--config.data.embedded.num_users=6"]
ADDED = {
    "train --config=tables": _FEW,
    "train --config=embedded": [*_TINY, "--config.train.num_train_steps=8"],
    "train --config=paper": _TINY,
    "--config.seeds=10": ["--config.seeds=2"],
    "sweep": ["--dry_run"],
    "--backend=slurm": ["--dry_run"],
}
SLOW = ("train", "evaluate", "score", "explain", "forget", "logs", "off_policy", "build_dataset", "judge", "sweep")


def _commands(text):
    """Lines of indented or fenced blocks that are commands, continuation lines joined."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    fenced = [block for language, block in blocks if language in ("", "bash", "sh", "console")]
    without = re.sub(r"```.*?```", "", text, flags=re.S)
    lines = "\n".join([without.replace("\\\n", " "), *fenced]).splitlines()
    found = [line.strip() for line in lines if line.startswith("    ") or line in "\n".join(fenced).splitlines()]
    found = [line.split("    #")[0].strip() for line in found]
    return [line for line in found if re.match(r"(prouter|\S*python\S* -m|\S*pip|make|bash|git)\s", line)]


DOCUMENTED = list(dict.fromkeys(command for text in DOCUMENTS.values() for command in _commands(text)))
IN_DOCSTRINGS = [
    re.sub(r"\[|\]|\.\.\.", "", line.strip()).removeprefix("Command:").strip()
    for path in [*(ROOT / "experiments").glob("*.py"), *(ROOT / "launch").glob("*.py")]
    for line in path.read_text().splitlines()
    if re.match(r"(Command:\s+)?(python -m launch\.|prouter )\w+ ", line)
]


def _parts(command):
    """The command's name and its arguments; None for what is no command of ours."""
    words = shlex.split(command)
    if words[0] == "prouter":
        return words[1], words[2:]
    if words[1:2] == ["-m"] and words[2].startswith("launch."):
        return words[2].removeprefix("launch."), words[3:]
    return None


@pytest.fixture(scope="module")
def known_flags():
    """Names of the flags of each launcher's own module."""
    code = (
        "import sys, json, importlib\nfrom absl import flags\nfound = {}\n"
        "for name in sys.argv[1:]:\n"
        "    before = set(flags.FLAGS)\n"
        "    importlib.import_module('launch.' + name)\n"
        "    found[name] = sorted(set(flags.FLAGS) - before)\n"
        "    for flag in list(set(flags.FLAGS) - before): delattr(flags.FLAGS, flag)\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code, *LAUNCHERS], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _is_field(path):
    section = ExperimentConfig()
    for name in path.split("."):
        if not dataclasses.is_dataclass(section) or not hasattr(section, name):
            return False
        section = getattr(section, name)
    return not dataclasses.is_dataclass(section)


def _check_flags(flags, known):
    for flag in flags:
        name = flag.lstrip("-").split("=")[0]
        if name.startswith("config."):
            assert _is_field(name.removeprefix("config.")), flag
        else:
            assert name in known, flag


def test_there_are_commands_to_check():
    assert {"make run", "make test"} < set(DOCUMENTED)
    assert {_parts(command)[0] for command in DOCUMENTED if _parts(command)} == set(LAUNCHERS)


@pytest.mark.parametrize("command", sorted({*DOCUMENTED, *IN_DOCSTRINGS}))
def test_every_command_and_its_flags_exist(command, known_flags):
    if _parts(command) is None:
        program, *rest = shlex.split(command)
        assert program != "make" or set(rest) <= TARGETS
        assert program != "bash" or (ROOT / rest[0]).is_file()
        return
    name, arguments = _parts(command)
    assert all(argument.startswith("--") for argument in arguments)
    own = arguments.index("--") if "--" in arguments else len(arguments)
    _check_flags(arguments[:own], known_flags[name])
    _check_flags(arguments[own + 1 :], known_flags["train"])  # what pod passes on
    for argument in arguments:
        flag, _, value = argument.partition("=")
        if flag == "--config" and "NAME" not in value:
            assert value in EXPERIMENTS or (ROOT / value).is_file()


@pytest.fixture(scope="module")
def place(experiment_workdir, tmp_path_factory):
    """A folder that holds all files that the commands of the documents read, small."""
    folder = tmp_path_factory.mktemp("documents")
    shutil.copytree(experiment_workdir, folder / "runs" / "embedded")
    (folder / "experiments").symlink_to(ROOT / "experiments")
    write_tables(build_embedded(Embedded(num_queries=40, num_users=5, decisions_per_user=20)), folder / "my_tables")
    write_rows(folder / "choices.jsonl", [{"user_id": "u00", "query": "What is 3 + 4?", "llm": "alder-1"}])
    asked = [(number, model) for number in range(40) for model in range(3)]
    answers = [prism_answer(f"user{n % 4}", n, 0, m, f"model{m}", 1 + (7 * n + 31 * m) % 100) for n, m in asked]
    write_rows(folder / "utterances.jsonl", answers)
    votes = [arena_vote(number, "a", "b", "model_a", f"judge{number % 2}") for number in range(4)]
    pq.write_table(pa.Table.from_pylist(votes), folder / "mt_bench_human.parquet")
    write_alpacaeval(folder / "alpaca_eval" / "results")
    write_log(folder / "day1.jsonl", made_up_rows(300))
    pq.write_table(pa.Table.from_pylist(made_up_rows(300, seed=1)), folder / "day2.parquet")
    write_rows(folder / "queries.jsonl", [{"query": "What is 3 + 4?", "reference": "7"}])
    (folder / "llms.json").write_text(re.findall(r"```json\n(.*?)```", DOCUMENTS["docs/data.md"], re.S)[0])
    write_rows(folder / "train.jsonl", [{"question": "What is 3 + 4?", "answer": "3 + 4 = 7\n#### 7"}])
    (folder / "mine.csv").write_text("prompt,answer\nWhat is 3 + 4?,7\n")
    (folder / "responses").mkdir()
    (folder / "responses" / "mmlu_a.csv").write_text('prompt,small,large\n"1, or 2?",True,True\n3?,False,True\n')
    return folder


def _is_run(command):
    return not any(part in command for part in NOT_RUN) or command.endswith("--dry_run")


def _is_slow(command):
    return _parts(command)[0] in SLOW or (_parts(command)[0] == "update" and "--dry_run" not in command)


RUN = [
    pytest.param(command, id=command, marks=pytest.mark.slow if _is_slow(command) else [])
    for command in DOCUMENTED
    if _is_run(command)
]


@pytest.mark.parametrize("part", NOT_RUN)
def test_what_is_not_run_is_in_the_documents(part):
    assert any(part in command for command in DOCUMENTED)
    for name in re.findall(r"\w+_test\b", NOT_RUN[part]):
        assert list((ROOT / "tests").rglob(f"{name}.py")), name


def _run(place, name, arguments):
    secrets = {"LOG_KEY": "sixteen bytes at least", "OPENAI_API_KEY": "none"}
    command, environment = [sys.executable, "-m", "launch", name], os.environ | {"PYTHONPATH": str(ROOT)} | secrets
    done = subprocess.run([*command, *arguments], cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("command", RUN)
def test_the_command_runs(command, place):
    """In the order of the documents: some read what others before them wrote."""
    name, arguments = _parts(command)
    arguments += [more for part, added in ADDED.items() if part in command for more in added]
    if "--" in arguments and "--dry_run" in arguments[arguments.index("--") :]:
        arguments = ["--dry_run", *arguments[:-1]]
    done = _run(place, name, arguments)
    assert "Traceback" not in done.stderr


def test_the_python_example_of_readme_runs(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    scored, live = re.findall(r"```python\n(.*?)```", DOCUMENTS["README.md"], re.S)
    assert len(scored.splitlines()) <= 12
    exec(compile(scored + live, "README.md", "exec"), {})
    *lines, after = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["history", "history", "cold_start"]
    assert all(re.fullmatch(r"\S+ \S+ [01]\.\d\d", line) for line in lines)
    assert after.split()[1] == "history"


def test_the_conversion_of_docs_data_makes_a_folder_of_tables(place, monkeypatch):
    monkeypatch.chdir(place)
    (example,) = re.findall(r"```python\n(.*?)```", DOCUMENTS["docs/data.md"], re.S)
    exec(compile(example, "data.md", "exec"), {})
    data = read_tables("my_mmlu")
    assert data.queries.texts.tolist() == ["1, or 2?", "3?"]
    assert data.outcomes.effect.tolist() == [1, 1, 0, 1]


def test_scores_come_for_all_rows_of_the_pairs(place):
    (command,) = [command for command in DOCUMENTED if "score" in command and "scored.jsonl" in command][:1]
    done = _run(place, *_parts(command))
    assert not [name for name in done.stderr.splitlines() if "rows/s" not in name]
    rows = [json.loads(line) for line in (place / "scored.jsonl").read_text().splitlines()]
    known = set(Router.load(place / "runs/embedded").world.interactions.queries.ids)
    for row in rows:
        bad = row.get("query") == "" or ("query" not in row and row["query_id"] not in known)
        assert (row["error"] is not None) == bad, row
    assert {row["basis"] for row in rows} == {"history", "cold_start", None}
    assert len({row["llm"] for row in rows if row["llm"]}) > 1


def test_the_picture_is_drawn(place):
    command = [sys.executable, str(ROOT / "docs" / "picture.py"), "runs/embedded", "drawn.png"]
    subprocess.run(command, cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    assert (place / "drawn.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_flag_target_link_and_path_in_the_text_exists(name, known_flags):
    text = re.sub(r"XLA_FLAGS=\S+", "", DOCUMENTS[name])
    prose = re.sub(r"```.*?```|^    [^\n]*$", "", text, flags=re.S | re.M)
    everything = {flag for flags in known_flags.values() for flag in flags}
    _check_flags(re.findall(r"`(--[a-z_.]+)", prose), everything)
    assert set(re.findall(r"prouter-jax\[(\w+)\]", prose)) <= EXTRAS
    assert set(re.findall(r"`make ([a-z-]+)`", prose)) <= TARGETS
    assert set(re.findall(r"`prouter ([a-z_]+)", prose)) <= set(LAUNCHERS)
    assert all(_is_field(field) for field in re.findall(r"`((?:data|model|train|mesh)\.[\w.]+)`", prose))
    for link in re.findall(r"\]\(([^)]+)\)", text):
        if not link.startswith("http"):
            _check_link(name, link)
    for path in re.findall(r"(?<![\w/.])((?:prouter_jax|launch|experiments|tests|docs)/[\w./]+\w)", prose):
        assert (ROOT / path).exists(), path


def _check_link(name, link):
    file, _, anchor = link.partition("#")
    target = (ROOT / name).parent / file if file else ROOT / name
    assert target.exists(), link
    headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M) if anchor else []
    anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
    assert not anchor or anchor in anchors, link


def test_readme_is_short_and_its_table_has_every_command():
    assert len(DOCUMENTS["README.md"].splitlines()) <= 150
    assert sorted(re.findall(r"^\| ([a-z_]+) \| [a-z]+s ", _section("README.md", "Commands"), re.M)) == LAUNCHERS


def test_numbers_of_readme_are_those_of_the_tables():
    rows = [
        [cell.strip() for cell in line.split("|")]
        for line in DOCUMENTS["docs/results.md"].splitlines()
        if line.startswith("| ")
    ]
    shown = re.findall(r"^\| [^|]+ \| ([\d.]+) \| ([^|]+) \| ([^|]+) \| (\w+) \|$", DOCUMENTS["README.md"], re.M)
    assert len(shown) >= 8
    for cells in shown:
        assert any({cell.strip() for cell in cells} <= set(row) for row in rows), cells


def _section(document, title):
    return DOCUMENTS[document].split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_valid_and_says_how_to_run_it(name):
    module = importlib.import_module(f"experiments.{name}")
    config = module.get_config()
    if name == "tables":
        config.data.path = "somewhere"
    assert validate(config).name != ExperimentConfig().name
    assert module.get_config() is not module.get_config()
    assert f"Command:  prouter train --config={name} --workdir=" in module.__doc__


def test_make_run_is_what_readme_says():
    recipe = (ROOT / "Makefile").read_text()
    assert "launch.train --config=experiments/embedded.py --workdir=runs/embedded" in recipe
    assert "launch.score --workdir=runs/embedded --input=experiments/pairs.jsonl" in recipe
    assert "runs/embedded/report/report.html" in recipe
