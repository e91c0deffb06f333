"""The tables: sound as defined, and all of them measured in the small variant, from the command to README."""

import json
import pathlib
import subprocess
import sys

import pytest

from prouter_jax.evaluation.baselines.spaces import BUILDERS
from prouter_jax.evaluation.protocol import claims, runner
from prouter_jax.evaluation.protocol.claims import COMPARED
from prouter_jax.evaluation.protocol.definition import Size
from prouter_jax.evaluation.protocol.rows import PUBLISHED
from prouter_jax.evaluation.protocol.tables import definitions

SIZE = Size(False, pathlib.Path("data"), pathlib.Path("tuned"))
TABLES = definitions(SIZE)
SMALL = definitions(Size(True, pathlib.Path("data"), pathlib.Path("tuned")))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_table_is_sound(table):
    keys = [unit.key for unit in table.units]
    assert len(set(keys)) == len(keys) > 1
    for unit in table.units:
        assert json.loads(json.dumps(unit.arguments)).keys() == unit.arguments.keys()
        assert "config" in unit.arguments
    assert table.title
    assert table.caption


def test_the_issue_s_settings_are_there():
    names = [table.name for table in TABLES]
    assert names == [table.name for table in SMALL]
    assert len(set(names)) == len(names)
    seeds = {table.name: {unit.arguments["seed"] for unit in table.units} for table in TABLES}
    assert seeds["costs_alpaca"] == seeds["votes"] == seeds["choices_cold"] == set(range(10))
    assert seeds["costs_large"] == set(range(10))
    assert seeds["choices_warm"] == seeds["new_users"] == set(range(5))


def test_only_the_tables_of_gradient_steps_and_of_harm_have_them():
    presets = {table.name: {unit.arguments["config"]["model"]["preset"] for unit in table.units} for table in TABLES}
    assert presets.pop("gradients") == presets.pop("ablation_gradients") == presets.pop("never_worse") == {"tuned"}
    assert presets.pop("regret") == {"tuned"}
    assert presets.pop("parts_paper") == {"paper"}
    assert set().union(*presets.values()) == {"em"}


def test_claims_are_first_and_compare_with_the_paper_s_kinds_of_baselines():
    first = TABLES[0]
    assert first.name == "claims"
    assert {unit.arguments["tuning"]["policies"] for unit in first.units} == {COMPARED}
    places = {unit.arguments["config"]["data"]["source"] for unit in first.units}
    assert places == {"tables", "embedded"}
    assert {unit.arguments["published"] for unit in first.units} >= {"15.38 %", "9.83 %", "16.19 %", "59.69 %"}


def test_a_claim_keeps_the_router_the_compared_baselines_and_the_paper_s_number(monkeypatch):
    policies = {name: {} for name in ("router", "switch", "mlp", "user_blind", "oracle")}
    monkeypatch.setitem(claims._MEASURES, "split", lambda size, **_: {"policies": policies, "facts": {"a": 1}})
    (found,) = claims.measure_claim("split", "9.83 %", SIZE, setting="one")
    assert list(found["policies"]) == ["router", "switch", "oracle"]
    assert found["facts"] == {"a": 1, PUBLISHED: "9.83 %"}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_tuned_baseline_exists(table):
    for unit in table.units:
        assert set(unit.arguments.get("tuning", {}).get("policies", ())) <= set(BUILDERS)


def test_units_that_share_a_tuning_agree_on_it():
    found = {}
    for table in TABLES:
        for unit in table.units:
            tuning = unit.arguments.get("tuning")
            if tuning:
                assert found.setdefault(tuning["name"], tuning) == tuning
    assert len(found) >= 8
    assert {tuning["budget"] for tuning in found.values()} == {20}


def test_stored_results_stay_valid():
    """A field added to the configuration goes into `definition._LATER`, or all tables would be measured again."""
    stored = {
        "choices_cold": "d92b6cbe9ede6ca6",
        "costs_alpaca": "2065b52ddeab7f2e",
        "new_users": "a5f2d8f63f86c86f",
        "gradients": "5798d465f7354c3e",
    }
    first = {table.name: table.units[0] for table in TABLES}
    found = {name: runner._digest(name, first[name], False)[:16] for name in stored}
    assert found == stored


def test_of_new_users_histories_are_on_known_and_on_unseen_queries():
    (table,) = [one for one in TABLES if one.name == "never_worse"]
    found = {}
    for unit in table.units:
        history = unit.arguments["config"]["data"].get("history", "known")
        found.setdefault(history, set()).add(unit.arguments["setting"])
    assert found.pop("unseen") == {"choices, histories on unseen queries"}
    assert "choices, histories on known queries" in found.pop("known")


def _reproduce(workdir, *more):
    command = [sys.executable, "-m", "launch.reproduce", f"--workdir={workdir}", "--small", *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_all_tables_are_measured_in_the_small_variant(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# x\n<!-- results -->\n<!-- /results -->\n")
    done = _reproduce(tmp_path / "work", "--table=all", f"--document={readme}")
    assert done.returncode == 0, done.stderr[-2000:]
    tables = [json.loads((tmp_path / "work/tables" / f"{one.name}.json").read_text()) for one in SMALL]
    assert all("router" in json.dumps(table) for table in tables)
    assert (tmp_path / "work/report/report.html").stat().st_size > 10_000
    assert all(one.title in readme.read_text() for one in SMALL)
    again = _reproduce(tmp_path / "work", "--table=all")
    assert (again.returncode, again.stderr) == (0, "")  # nothing is measured again
