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
BESIDE = [parent / "shared" / "cases" for parent in PROJECT.parents]  # a worktree lies deeper than the checkout
CASES = pathlib.Path(os.environ.get("PROUTER_CASES", next((path for path in BESIDE if path.is_dir()), BESIDE[0])))
CHANGED = {
    "tail -1 /tmp/case_two": "tail -n 1 /tmp/case_two",  # not all systems take the short form for several files
    "from prouter_jax import files": "from prouter_jax.io import files",
    "prouter_jax.grading.metrics": "prouter_jax.llm.grading_metrics",
    "prouter_jax.readers.tables": "prouter_jax.data.tables.read_write",
}
HANG = 600  # seconds

# What the output must have and must not have, as regular expressions.
EXPECTED = {
    "brace_row": (
        [r"column user_id: expected this column, found none", r'^    "error": "user_id: expected an id, found none"'],
        ["Traceback", "Expecting"],
    ),
    "collect_content_list": ([r"^list The answer is 4 "], ["Traceback"]),
    "collect_usage_zero": ([r"rate limited", r"'cost': [1-9]\S*e-0"], [r"'cost': 0\.0\b", "Traceback"]),
    "config_flip": ([r"config\.json: expected the file of this router", "^rc=1"], ["Traceback"]),
    "grade_think": (
        [r"^number_at_end 1\.0$", r"^multiple_choice 1\.0$", r"^exact_match 1\.0$", r"^token_f1 1\.0$"],
        [],
    ),
    "kill_tmp_sealed": (["^rc=0"], ["^tables/", "Traceback"]),
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
    "long_text": ([r"^GB [01]\."], ["Traceback"]),
    "nan_llms": ([r"cost, row 0: expected a number in \[0, 1,000,000\], found 1e\+18", "^rc=1"], ["Traceback"]),
    "number_minus": ([r"^1(\.0)? 1(\.0)? 0(\.0)?$"], []),
    "personaroute_index": ([r"^written: .* 24 decisions"], ["expected", "Traceback"]),
    "prism_empty_string": ([r"\('gpt-4', (None|'')\)"], ["EMPTY STRING"]),
    "queries_metrics": ([r"written: 4 queries", r'\["1", "4"\]'], [r"\{'text'", "Traceback"]),
    "rce_metric": (["^rc=1", r"PWNED: No such file"], ["uid=", "^IMPORTED", "Traceback"]),
    "simulated_users_without_cost": ([r"a column cost of outcomes would do"], ["found 0 in train", "Traceback"]),
    "swapped_seal": ([], ["Traceback", "Error"]),
    "tables_near_miss": ([r"outcomes\.csv\.gz: 2", r"Outcomes\.parquet: 2", r"outcomes\.json: 2"], ["Traceback"]),
    "tmp_symlink": ([r"^precious False"], []),
    "train_sigint": (["^rc="], ["Traceback"]),  # a shell without a terminal may ignore Ctrl-C in the background
    "train_twice": (["expected no other command that writes here"], [r'^(\{"\S+ \d+).*\n\1', "Traceback", "missing"]),
    "update_lost": (["updates/", "^rc=1"], ["Traceback"]),
    "votes_one_side": ([r"^It closes [1-8]\d\.\d %"], [r"of 1\.0000", r"closes 100\.0", "Traceback"]),
    "world_swap": ([r"world/manifest\.json: expected the file of this router", "^rc=1"], ["Traceback"]),
}


@pytest.fixture(scope="module")
def router_folder(tmp_path_factory):
    """Where env.sh trains its small router once."""
    return tmp_path_factory.mktemp("cases")


@pytest.mark.slow
@pytest.mark.parametrize("case", EXPECTED)
def test_a_case_ends_as_expected(case, tmp_path, router_folder):
    if not (CASES / case / "run.sh").is_file():
        pytest.skip(f"{CASES / case} is absent")
    shutil.copytree(CASES / case, tmp_path / "cases" / case)
    shutil.copy(CASES / "env.sh", tmp_path / "cases" / "env.sh")
    script = tmp_path / "cases" / case / "run.sh"
    text = script.read_text()
    folders = {
        "/tmp/case_": f"{router_folder}/case_",
        "=$REF'": f"={router_folder}/prouter_cases/ref'",
    }
    for old, new in (CHANGED | folders).items():
        text = text.replace(old, new)
    script.write_text(text)
    environment = os.environ | {"PROJECT": str(PROJECT), "PYTHON": sys.executable, "TMPDIR": str(router_folder)}
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, timeout=HANG, check=False)
    output = done.stdout + done.stderr
    needed, refused = EXPECTED[case]
    for pattern in needed:
        assert re.search(pattern, output, re.MULTILINE), f"{pattern} is not in:\n{output}"
    for pattern in refused:
        assert not re.search(pattern, output, re.MULTILINE), f"{pattern} is in:\n{output}"
