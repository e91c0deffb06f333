"""README's results: written from stored tables alone, what was missed and what did not help among them."""

import dataclasses

import pytest
from protocol_cases import constant, definition, measurement, table

from prouter_jax.evaluation.protocol import requirements as checks
from prouter_jax.evaluation.protocol.definition import ABLATION, Requirement
from prouter_jax.evaluation.protocol.report import results_section, write_results
from prouter_jax.evaluation.protocol.runner import reproduce
from prouter_jax.evaluation.protocol.storage import from_json, to_json

BEGIN, END = "<!-- results -->", "<!-- /results -->"

ASKED = [
    Requirement("better than everything", "", checks.gain(0)),
    Requirement("far better than favourites", "", checks.gain(0.05, "favourite")),
    Requirement("a share of 0.8", "", checks.share(0.8), aim=True),
]


def _main():
    return table([constant(seed, 0.5) for seed in range(3)], definition(requirements=ASKED))


def _ablation():
    parts = [
        measurement(s, router=0.5, oracle=0.9, **{"no edges": 0.4, "no style": 0.5 - 0.01 * (s - 1), "dot": 0.6})
        for s in range(3)
    ]
    return table(parts, definition("parts", kind=ABLATION))


def test_the_section_is_a_function_of_the_stored_tables():
    tables = [_main(), _ablation()]
    assert results_section([from_json(to_json(one)) for one in tables]) == results_section(tables)


def test_each_table_is_short_and_says_where_it_comes_from():
    text = results_section([_main(), _ablation()])
    assert text.startswith(
        "2 tables, 3 min of computing (versions none; machine made up; date 2026-11-25; commit abc)."
    )
    (row,) = [line for line in text.splitlines() if line.startswith("| cold") and "favourite" in line]
    assert row.startswith("| cold | 0.5000 | 0.4900 favourite | +0.0100 (+0.0075 to +0.0125) | gain |")
    assert "A caption. Required: 1 of 2 met. Aims: 0 of 1 met." in text


def test_commits_and_days_of_several_tables_are_said_once():
    first, second = _main(), _ablation()
    first = dataclasses.replace(first, facts={"commit": "a, b", "date": "1"})
    second = dataclasses.replace(second, facts={"commit": "b, c", "date": "1"})
    assert "(commit a, b, c; date 1)" in results_section([first, second])


def test_of_many_rows_those_are_shown_where_most_is_to_be_gained():
    seeds = [
        measurement(seed, setting=f"without {place}", k=k, router=0.5, ridge=0.4, blind=0.3, full=0.3 + 0.01 * place)
        for seed in (0, 1)
        for place in range(9)
        for k in (0, 5, 20)
    ]
    text = results_section([table(seeds)])
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| without")]
    assert rows == [f"| without {place}" for place in (4, 5, 6, 7, 8) for _ in range(3)]
    assert "15 of 27 rows: the settings with the largest learnable gain" in text
    assert "largest learnable gain" not in results_section([table(seeds[:15])])


def test_what_was_not_reached_is_listed():
    text = results_section([_main()])
    missed = text.split("### Not reached\n\n")[1]
    assert missed.splitlines() == [
        "- Title of choices, required: far better than favourites: missed by 0.0400, found 0.0100 in cold",
        "- Title of choices, aim: a share of 0.8: missed by 0.3000, found 0.5000 in cold",
    ]
    assert "did not help" not in text
    assert "Every requirement and aim is met." in results_section([_ablation()])


def test_what_did_not_help_is_listed():
    helpless = results_section([_main(), _ablation()]).split("### What did not help\n\n")[1]
    assert "no edges" not in helpless
    assert "oracle" not in helpless
    assert "- Title of parts, cold: no style, +0.0000 (-0.0248 to +0.0248)" in helpless
    assert "- Title of parts, cold: dot, -0.1000 (-0.1000 to -0.1000)" in helpless


def test_only_the_section_changes_and_the_same_tables_give_the_same_text(tmp_path):
    reproduce([definition("second"), definition("first")], tmp_path, False)
    document = tmp_path / "README.md"
    document.write_text(f"# Title\n{BEGIN}\nresults of before\n{END}\n\n## Limits\n")
    write_results(document, tmp_path)
    once = document.read_text()
    write_results(document, tmp_path)
    assert document.read_text() == once
    assert once.startswith(f"# Title\n{BEGIN}\n2 tables, ")
    assert once.endswith(f"{END}\n\n## Limits\n")
    assert "results of before" not in once
    assert once.index("Title of first") < once.index("Title of second")


WRONG = {
    "no markers": "# Title",
    "the end is missing": f"{BEGIN} text",
    "in the wrong order": f"{END} {BEGIN}",
    "twice": f"{BEGIN}{END}{BEGIN}{END}",
}


@pytest.mark.parametrize("name", WRONG)
def test_a_document_without_its_markers_is_left_alone(tmp_path, name):
    reproduce([definition()], tmp_path, False)
    document = tmp_path / "README.md"
    document.write_text(WRONG[name])
    with pytest.raises(ValueError, match=r"README.md: expected <!-- results --> once and then <!-- /results --> once"):
        write_results(document, tmp_path)
    assert document.read_text() == WRONG[name]


def test_without_tables_there_are_no_results(tmp_path):
    (tmp_path / "README.md").write_text(f"{BEGIN}{END}")
    with pytest.raises(ValueError, match="tables: expected tables, found none"):
        write_results(tmp_path / "README.md", tmp_path)
