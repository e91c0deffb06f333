"""The report of a log: policies compared off-policy on test decisions, level ones not ranked, limits in sentences."""

import dataclasses

import numpy as np
import pytest
from log_files import made_up_rows, write_log

from prouter_jax.data.interactions import select_decisions
from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.evaluation.evaluate import SeedResult
from prouter_jax.evaluation.off_policy.log_report import compare_on_log
from prouter_jax.report import log_text, text
from prouter_jax.report.types import Report, ShareTable
from prouter_jax.report.write import to_html


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    convert_log([write_log(folder / "log.jsonl", made_up_rows(900))], folder / "tables", Options())
    return folder / "tables"


def _result(data, rows, **llms):
    """Picks of policies that always take the LLM of a name."""
    ids = data.llms.ids.tolist()
    selected = {name: np.full(len(rows), ids.index(llm)) for name, llm in llms.items()}
    nothing = np.zeros(len(rows), int)
    return SeedResult(data.users, data.tasks.ids, data.llms.ids, nothing, nothing, nothing, {}, rows, selected)


def _compare(folder, rows=slice(300, None), **llms):
    data = read_tables(folder)
    return compare_on_log(folder, data, _result(data, np.arange(len(data.decisions.ids))[rows], **llms))


def _report(log):
    return Report("a log", {"data": "log"}, "reward", {}, [], [], ShareTable([], [], np.zeros((0, 0))), [], log=log)


def test_the_values_are_those_of_the_llms(folder):
    log = _compare(folder, router="c", user_blind="c", cheapest="a", best_per_user="b")
    values = {value.policy: value for value in log.values}
    found = [values[name].value for name in ("router", "cheapest", "best_per_user")]
    np.testing.assert_allclose(found, [0.8, 0.3, 0.5], atol=0.1)
    assert values["cheapest"].gain.low > 0
    assert [value.value for value in log.values] == sorted((value.value for value in log.values), reverse=True)
    assert any("All 600 test decisions have a thumb" in limit for limit in log.limits)
    assert not any("propensities" in limit for limit in log.limits)


def _off_zero(gain):
    """A difference of 0 with an interval around it."""
    return gain and dataclasses.replace(gain, low=gain.low - 0.01, high=gain.high + 0.01)


def test_level_policies_are_called_level_and_the_router_is_not_behind_them(folder):
    log = _compare(folder, router="c", best_per_user="c", user_blind="c")
    rows = log_text.log_rows(log)
    assert rows[0][0] == "router"
    assert [cells[-1] for _, cells in rows[1:3]] == ["the same", "the same"]
    values = [dataclasses.replace(value, gain=_off_zero(value.gain)) for value in log.values]
    log = dataclasses.replace(log, values=values)
    assert [cells[-1] for _, cells in log_text.log_rows(log)[1:3]] == ["level", "level"]
    assert "level with the best single LLM (" in " ".join(log_text.log_headline(log))
    page = to_html(_report(log))
    assert "gateway&#39;s own picks" in page
    assert "What this log cannot tell" in page
    assert "All policies, compared off-policy" in page
    assert "gap closed" not in page
    assert text.to_markdown(_report(log)).count("| level |") >= 2


def test_a_log_of_which_nothing_can_be_said_says_so(folder):
    log = _compare(folder, slice(0, 50), router="c")
    assert not log.values
    assert log.limits[0].startswith("No policy could be compared: log: expected at least 100 decisions")
    assert text.headline(_report(log)) == [log.limits[0]]
    assert log.limits[0].replace("'", "&#39;") in to_html(_report(log))


def test_decisions_of_the_log_that_the_split_lacks_are_left_out(folder):
    data = read_tables(folder)
    fewer = select_decisions(data, np.arange(len(data.decisions.ids)) % 3 > 0)
    rows = np.arange(len(fewer.decisions.ids))
    log = compare_on_log(folder, fewer, _result(fewer, rows, router="c"))
    assert log.values[0].policy in ("router", "best_single")
    assert any("All 600" in limit for limit in log.limits)
