"""Tables: results, files that say the same as the numbers; a failure leaves the other tables going."""

import dataclasses
import json
import math
import re

import pytest
from protocol_cases import constant, definition, measurement, over_k, table

from prouter_jax.evaluation.protocol import requirements as checks
from prouter_jax.evaluation.protocol.definition import Finding, MissingData, Requirement, Unit
from prouter_jax.evaluation.protocol.page import to_html
from prouter_jax.evaluation.protocol.report import to_markdown
from prouter_jax.evaluation.protocol.runner import REPORT, Work, build_table, reproduce
from prouter_jax.evaluation.protocol.storage import from_json, read_tables, to_json
from prouter_jax.io.display import DASH

ASKED = [
    Requirement("better than everything", "", checks.gain(0)),
    Requirement("by far", "", checks.gain(0.05, "favourite"), aim=True),
    Requirement("better than nobody", "", checks.gain(0, "nobody")),
]


def _raises(error):
    def measure(seed, router):
        raise error

    return measure


def _failing(name, error):
    asked = definition(name)
    units = [*asked.units[:2], dataclasses.replace(asked.units[2], function=_raises(error))]
    return dataclasses.replace(asked, units=units, requirements=ASKED)


def test_requirement_results_are_met_missed_or_not_measured():
    found = table([constant(seed, 0.5) for seed in range(3)], definition(requirements=ASKED))
    assert [one.status for one in found.requirements] == ["met", "missed by 0.0400", "not measured"]
    assert [one.found for one in found.requirements] == ["0.0100 in cold", "0.0100 in cold", ""]
    assert [one.aim for one in found.requirements] == [False, True, False]
    assert found.requirements[1].margin == pytest.approx(-0.04)
    narrow = definition(requirements=[Requirement("hair", "", lambda groups, metric: Finding(-1e-9, 0.5, "cold"))])
    assert table([constant(0, 0.5)], narrow).requirements[0].status == "missed by less than 0.0001"


def test_what_was_found_is_shown_beside_what_was_asked_for():
    found = table([constant(seed, 0.5) for seed in range(3)], definition(requirements=ASKED))
    text, page = to_markdown(found), to_html([found])
    for asked, number, status in (("by far", "0.0100 in cold", "missed by 0.0400"), ("nobody", DASH, "not measured")):
        assert f"{asked} | {number} | {status} |" in text
        assert re.search(rf"{status}</t[dh]>\s*<t[dh][^>]*>{number}</t[dh]>.*{asked}<", page)


def test_a_table_stored_before_requirement_results_had_the_field_found_is_still_read():
    tree = json.loads(to_json(table([constant(0, 0.5)], definition(requirements=ASKED))))
    for verdict in tree["verdicts"]:
        del verdict["found"]
    assert [one.found for one in from_json(json.dumps(tree)).requirements] == ["", "", ""]


def test_nothing_is_met_while_units_are_missing():
    records = [{"measurements": [constant(seed, 0.5)], "provenance": {}, "seconds": 1.0} for seed in (0, 1)]
    found = build_table(definition(requirements=ASKED), Work(records, {"seed2": "table choices: broken"}), False)
    assert [one.status for one in found.requirements] == ["not measured", "missed by 0.0405", "not measured"]
    assert [one.found for one in found.requirements] == ["", "0.0095 in cold", ""]
    assert found.failed == ["seed2"]


def test_a_failure_leaves_the_others_going_and_is_a_line(tmp_path):
    gone = MissingData("votes: not there")
    units = [dataclasses.replace(unit, function=_raises(gone)) for unit in definition().units]
    missing = dataclasses.replace(definition("missing"), units=units)
    broken = _failing("broken", RuntimeError("out of luck"))
    problems = reproduce([broken, missing, definition("last"), definition("claims")], tmp_path, False)
    log = tmp_path / "failures" / "broken" / "seed2.txt"
    assert problems == [
        f"table broken: seed2: RuntimeError: out of luck ({log})",
        "table missing: votes: not there",
    ]
    assert [one.name for one in read_tables(tmp_path)] == ["claims", "broken", "last", "missing"]
    page = (tmp_path / REPORT).read_text()
    assert all(f"Title of {name}" in page for name in ("broken", "last", "missing"))
    assert "Nothing was measured" in (tmp_path / "tables" / "missing.md").read_text()


def test_a_refused_table_is_a_line_and_its_file_stays(tmp_path):
    assert reproduce([definition("first"), definition("second")], tmp_path, False) == []
    before = (tmp_path / "tables" / "first.json").read_bytes()
    path = tmp_path / "units" / "first" / "seed0.json"
    path.write_text("{}")
    (problem,) = reproduce([definition("first"), definition("third")], tmp_path, False)
    assert problem.startswith(f"table first: {path}: not the JSON that was written")
    assert (tmp_path / "tables" / "first.json").read_bytes() == before
    assert (tmp_path / "tables" / "third.json").exists()


def test_a_contradiction_between_units_is_a_line(tmp_path):
    units = [Unit(f"unit{place}", constant, {"seed": 0, "router": 0.5}) for place in (0, 1)]
    problems = reproduce([dataclasses.replace(definition(), units=units)], tmp_path, False)
    assert problems == ["table choices: cold: expected one measurement a seed, found two of seed 0"]


def test_another_file_among_the_tables_is_named(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "notes.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tables/notes.json: expected a result table"):
        reproduce([definition()], tmp_path, False)


def test_json_holds_every_number_and_comes_back():
    several = {"accuracy": 0.5, "log_loss": None, "settings": {"rank": 8}}
    odd = [measurement(0, router=0.5, ridge=several, facts={"users": 9}), measurement(1, router=0.6, ridge=several)]
    for one in (table(over_k(), definition(requirements=ASKED)), table(odd), table([])):
        text = to_json(one)
        assert to_json(from_json(text)) == text
        assert "NaN" not in text
    tree = json.loads(to_json(table(odd)))
    row = tree["cells"][0]["rows"]["ridge"]
    assert row["metrics"]["accuracy"]["values"] == [0.5, 0.5]
    assert row["settings"] == [{"rank": 8}, {"rank": 8}]
    assert row["gains"]["accuracy"]["mean"] == pytest.approx(0.05)
    assert row["share"] == {"mean": None, "low": None, "high": None, "n": 0}
    assert tree["seconds"] == 90.0
    assert tree["facts"]["commit"] == "abc"
    back = from_json(to_json(table(odd)))
    assert math.isnan(back.groups[0].rows["ridge"].metrics["log_loss"].values[0])
    assert back.groups[0].k is None


def test_the_small_variant_says_so_everywhere():
    small = table(over_k(), small=True)
    assert "(small variant)" in to_markdown(small)
    assert "(small variant)" in to_html([small])


def test_pages_are_made_from_the_stored_numbers_alone():
    one = table(over_k(), definition(requirements=ASKED))
    back = from_json(to_json(one))
    assert to_markdown(back) == to_markdown(one)
    assert to_html([back]) == to_html([one])
