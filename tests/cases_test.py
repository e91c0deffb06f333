"""The small inputs that failed once, outside this repository: each case of ../shared/cases ends as its run.sh expects.

The cases were written before the modules moved: their imports get the current names in a copy of the folder.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

PROJECT = pathlib.Path(__file__).parent.parent
CASES = pathlib.Path(os.environ.get("PROUTER_CASES", PROJECT.parent / "shared" / "cases"))
MOVED = {
    "prouter_jax.grading.metrics": "prouter_jax.llm.grading_metrics",
    "prouter_jax.readers.tables": "prouter_jax.data.tables.read_write",
}
HANG = 600  # seconds

# What the output must have and must not have, as regular expressions.
EXPECTED = {
    "collect_content_list": ([r"^list The answer is 4 "], ["Traceback"]),
    "collect_usage_zero": ([r"rate limited", r"'cost': [1-9]\S*e-0"], [r"'cost': 0\.0\b", "Traceback"]),
    "grade_think": (
        [r"^number_at_end 1\.0$", r"^multiple_choice 1\.0$", r"^exact_match 1\.0$", r"^token_f1 1\.0$"],
        [],
    ),
    "llmrouterbench_demo": (
        [r"\('gpt-5', 1\.0\): 30", r"\('Qwen/Qwen3-8B', 0\.0\): 10", r"\['aime', 'gpqa'\]"],
        [r"\('gpt-5', 0\.0\)", r"\['test'\]"],
    ),
    "logs_categorical": ([r"(?s)(2 rows read, 2 kept.*){6}"], ["dropped", "Traceback"]),
    "logs_empty_question": ([r"(?s)(dropped, no query: 1.*){3}"], ["Traceback", "not empty"]),
    "logs_huge_number": ([r"^users: as they are in the log"], ["Traceback"]),
    "logs_thumb_zero": ([r"^\[\('a', 0\.0\), \('b', 1\.0\)\]"], ["dropped", "Traceback"]),
    "logs_time_units": ([r"^\[1716990379\.963, 1716990380\.963, 1726990379\.0, 1727654400\.0\]"], ["Traceback"]),
    "logs_timestamp_ns": ([r"(?s)(2 rows read, 2 kept.*){2}"], ["Casting", "Traceback"]),
    "logs_two_user_columns": ([r"line 1: .* column user and another in column end_user; set --columns=user=user"], []),
    "logs_wrong_reason": (
        [r"(?s)(2 rows read, 2 kept.*){2}", "3 rows read, 2 kept", r"found custom_id, response\.body", "cost not read"],
        ["found none", "not a JSON object", "Traceback"],
    ),
    "number_minus": ([r"^1(\.0)? 1(\.0)? 0(\.0)?$"], []),
    "personaroute_index": ([r"^written: .* 24 decisions"], ["expected", "Traceback"]),
    "prism_empty_string": ([r"\('gpt-4', (None|'')\)"], ["EMPTY STRING"]),
    "queries_metrics": ([r"written: 4 queries", r'\["1", "4"\]'], [r"\{'text'", "Traceback"]),
    "simulated_users_without_cost": ([r"a column cost of outcomes would do"], ["found 0 in train", "Traceback"]),
    "tables_near_miss": ([r"outcomes\.csv\.gz: 2", r"Outcomes\.parquet: 2", r"outcomes\.json: 2"], ["Traceback"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", EXPECTED)
def test_a_case_ends_as_expected(case, tmp_path):
    if not (CASES / case / "run.sh").is_file():
        pytest.skip(f"{CASES / case} is absent")
    shutil.copytree(CASES / case, tmp_path / "cases" / case)
    shutil.copy(CASES / "env.sh", tmp_path / "cases" / "env.sh")
    script = tmp_path / "cases" / case / "run.sh"
    text = script.read_text()
    for old, new in MOVED.items():
        text = text.replace(old, new)
    script.write_text(text)
    environment = os.environ | {"PROJECT": str(PROJECT), "PYTHON": sys.executable, "TMPDIR": str(tmp_path)}
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    output = done.stdout + done.stderr
    needed, refused = EXPECTED[case]
    for pattern in needed:
        assert re.search(pattern, output, re.MULTILINE), f"{pattern} is not in:\n{output}"
    for pattern in refused:
        assert not re.search(pattern, output, re.MULTILINE), f"{pattern} is in:\n{output}"
