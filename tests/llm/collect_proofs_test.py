"""Collection against a server in its own process: kills and server errors do not change the result."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import processes
import pyarrow.parquet as pq
import pytest
from collect_cases import lines

from launch.benchmarks.stub_llms import answer_to, run_stub

QUERIES, AT_ONCE = 5000, 64  # of two LLMs each: 10,000 answers
ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def _prepare(folder, stub, **changes):
    folder.mkdir()
    queries = [json.dumps({"query_id": f"q{row}", "query": f"What of {row}?"}) for row in range(QUERIES)]
    (folder / "queries.jsonl").write_text("\n".join(queries))
    llm = {"base_url": stub.url, "input_price": 1, "output_price": 2, "backoff": 0.02, **changes}
    (folder / "llms.json").write_text(json.dumps({name: {"model": f"m{name}", **llm} for name in "ab"}))
    command = [sys.executable, "-m", "launch.collect", f"--queries={folder}/queries.jsonl"]
    return [*command, f"--llms={folder}/llms.json", f"--out={folder}/out", f"--concurrency={AT_ONCE}"]


def _run(command):
    environment = os.environ | {"NO_PROXY": "127.0.0.1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finish(command):
    process = _run(command)
    out, err = process.communicate(timeout=processes.HANG)
    assert process.returncode == 0, err
    return out


def _stored(folder):
    path = folder / "out" / "answers.jsonl"
    whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
    found = [json.loads(line) for line in whole.splitlines()]
    return {(f"m{line['llm']}", f"What of {line['query_id'][1:]}?") for line in found}


def _number_stored(folder):
    path = folder / "out" / "answers.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_after_ten_kills_every_answer_is_stored_once_and_no_stored_one_was_requested_again(tmp_path):
    chance, folder, known = random.Random(0), tmp_path / "kills", {}
    with run_stub(latency=0.05) as stub:
        command = _prepare(folder, stub)
        for _ in range(10):
            process, until = _run(command), _number_stored(folder) + chance.randrange(600)
            while process.poll() is None and _number_stored(folder) < until:
                time.sleep(0.01)
            time.sleep(chance.random() * 0.2)
            assert process.poll() is None, "it ended before it was killed"
            process.send_signal(signal.SIGKILL)
            process.communicate()
            counts = stub.counts()
            assert {pair: counts[pair] for pair in known} == known
            known = {pair: counts[pair] for pair in _stored(folder)}
        _finish(command)
        counts = stub.counts()
    assert {pair: counts[pair] for pair in known} == known
    found = lines(tmp_path / "kills" / "out" / "answers.jsonl")
    assert len(found) == len({line["key"] for line in found}) == 2 * QUERIES
    again = sum(asked - 1 for asked, _ in counts.values())
    assert again <= 10 * AT_ONCE  # no more than what was under way when it was killed


def test_a_server_that_fails_for_30_percent_leads_to_the_same_table(tmp_path):
    tables = {}
    for name, faults in (("clean", 0.0), ("faulty", 0.3)):
        with run_stub(latency=0.02, faults=faults, stall=6.0) as stub:
            command = _prepare(tmp_path / name, stub, timeout=3.0 if faults else processes.HANG, attempts=5)
            said = _finish(command)
            for _ in range(3):
                if f"answers: {2 * QUERIES:,} of {2 * QUERIES:,}" not in said:
                    said = _finish(command)
            assert f"answers: {2 * QUERIES:,} of {2 * QUERIES:,}" in said
            worst = max(asked for asked, _ in stub.counts().values())
            assert (worst > 1) == bool(faults)
        tables[name] = [
            pq.read_table(tmp_path / name / "out" / f"{table}.parquet") for table in ("queries", "llms", "outcomes")
        ]
    assert all(clean.equals(faulty) for clean, faulty in zip(tables["clean"], tables["faulty"], strict=True))
    outcomes = tables["clean"][2].to_pylist()
    assert all(row["response"] == answer_to(f"m{row['llm']}", f"What of {row['query_id'][1:]}?") for row in outcomes)
