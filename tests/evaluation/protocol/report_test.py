"""Tables as people see them: groups, the page and its plots."""

import dataclasses
import math
import re

import pytest
from protocol_cases import constant, definition, measurement, over_k, table

from prouter_jax.evaluation.protocol import requirements as checks
from prouter_jax.evaluation.protocol.definition import ABLATION, Requirement
from prouter_jax.evaluation.protocol.page import draw_plots, to_html
from prouter_jax.evaluation.protocol.report import duration_text, to_markdown
from prouter_jax.evaluation.protocol.rows import PUBLISHED, by_score, policy_table, summary_table
from prouter_jax.io.display import DASH

ASKED = [
    Requirement("better than everything", "", checks.gain(0)),
    Requirement("by far", "", checks.gain(0.05, "favourite"), aim=True),
    Requirement("better than nobody", "", checks.gain(0, "nobody")),
]


def test_a_row_of_the_summary_says_who_won_and_whether_it_is_chance():
    columns, (row,) = summary_table(table([constant(seed, 0.5) for seed in range(3)]))
    found = dict(zip(columns, row, strict=True))
    assert found["best tuned baseline"] == "0.4900 favourite"
    low, high = (0.01 + sign * 4.302653 * 0.001 / math.sqrt(3) for sign in (-1, 1))
    assert found["router's gain"] == f"+0.0100 ({low:+.4f} to {high:+.4f})"
    assert (found["verdict"], found["oracle"], found["share recovered"]) == (
        "gain",
        "0.9000",
        "50.0 % (48.8 % to 51.2 %)",
    )
    assert "k" not in columns


def test_a_share_is_told_only_where_there_is_something_to_recover():
    found = {}
    for full in (0.51, 0.6):
        columns, (row,) = summary_table(table([measurement(blind=0.5, full=full, router=0.48, ridge=0.4)]))
        found[full] = dict(zip(columns, row, strict=True))
    assert (found[0.51]["learnable gain"], found[0.51]["gain over blind"]) == ("+0.0100", "-0.0200")
    assert "share recovered" not in found[0.51]
    assert (found[0.6]["learnable gain"], found[0.6]["share recovered"]) == ("+0.1000", "-20.0 %")


def test_where_less_is_better_so_it_is_of_what_is_brought():
    less = measurement(metric="log_loss", blind=0.7, full=0.6, router=0.65, ridge=0.66)
    columns, (row,) = summary_table(table([less]))
    found = dict(zip(columns, row, strict=True))
    shown = [found[name] for name in ("learnable gain", "gain over blind", "share recovered")]
    assert shown == ["+0.1000", "+0.0500", "50.0 %"]


def test_the_summary_says_how_calibrated_the_router_is_and_who_does_worse():
    values = {"accuracy": 0.5, "log_loss": 0.7, "calibration": 0.02, "calibration_by_chance": 0.01, "slope": 0.8}
    router = {**values, "worse": 0.12, "worse_by_chance": 0.09, "worse_accuracy": 0.2, "worse_significantly": 0.01}
    one = table([measurement(router=router, ridge=values)])
    columns, (row,) = summary_table(one)
    found = dict(zip(columns, row, strict=True))
    assert [found[name] for name in ("log loss", "ECE", "slope")] == ["0.7000", "0.0200", "0.8000"]
    assert found["users worse"] == "12.0 % (9.0 % by chance, 1.0 % significantly)"
    columns, rows = policy_table(one.groups[0])
    assert columns[1:5] == ["accuracy", "log loss", "ECE", "slope"]
    cells = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    assert cells["router"]["users worse in accuracy"] == "20.0 %"
    assert cells["ridge"]["users worse"] == DASH
    assert "slope" not in one.groups[0].rows["ridge"].gains


def test_the_paper_s_numbers_stand_beside_the_margin_and_the_share_of_the_full_score():
    facts = {PUBLISHED: "15.38 %"}
    policies = {"router": 0.6, "cascade": 0.5, "switch": {"accuracy": 0.55, "validation": 0.1}}
    rows = {}
    for full in (None, 0.8):
        one = table([measurement(**policies, blind=0.5, full=full, facts=facts), constant(0, 0.5, "plain")])
        columns, (row, plain) = summary_table(one)
        rows[full] = dict(zip(columns, row, strict=True))
        assert dict(zip(columns, plain, strict=True))[PUBLISHED] == DASH
    # the strongest on test is not the one chosen on validation
    assert (rows[None]["best tuned baseline"], rows[None]["margin"]) == ("0.5000 cascade", "9.1 %")
    assert (rows[0.8]["of fully trained"], rows[0.8][PUBLISHED]) == ("75.0 %", "15.38 %")


def _won(router, ridge):
    seeds = [measurement(seed, router=r, ridge=b) for seed, (r, b) in enumerate(zip(router, ridge, strict=True))]
    columns, (row,) = summary_table(table(seeds))
    return dict(zip(columns, row, strict=True)).get("verdict")


def test_significance_of_rows():
    assert _won([0.5, 0.51], [0.4, 0.41]) == "gain"
    assert _won([0.4, 0.41], [0.5, 0.51]) == "loss"
    assert _won([0.4, 0.6], [0.5, 0.5]) == "unclear"
    assert _won([0.5], [0.4]) is None


def test_markdown_shows_a_dozen_policies_and_always_those_that_matter():
    policies = {f"p{place:02}": 0.9 - 0.01 * place for place in range(20)} | {"router": 0.1, "oracle": 0.05}
    policies["chosen"] = {"accuracy": 0.01, "validation": 1.0}
    one = table([measurement(seed, **policies) for seed in (0, 1)])
    (group,) = one.groups
    _, rows = policy_table(group, 12)
    assert [row[0] for row in rows] == [*(f"p{place:02}" for place in range(9)), "router", "oracle", "chosen"]
    text = to_markdown(one)
    assert "The best 12 of 23 policies." in text
    assert "p08" in text
    assert "p09" not in text
    assert "p19" in to_html([one])
    assert len(policy_table(group)[1]) == 23


def test_policies_are_ranked_by_the_metric():
    values = {"router": 1.0, "ridge": 0.8, "bad": {"log_loss": None}, "knn": 1.2}
    (group,) = table([measurement(metric="log_loss", **values)]).groups
    assert by_score(group) == ["ridge", "router", "knn", "bad"]
    _, rows = policy_table(group)
    assert rows[3] == ["bad", *[DASH] * (len(rows[3]) - 1)]


def test_an_ablation_has_a_row_for_each_part():
    parts = [measurement(s, router=0.5 + 0.01 * s, plain=0.4 + 0.0101 * s, oracle=0.9) for s in range(3)]
    columns, rows = summary_table(table(parts, definition(kind=ABLATION)))
    assert [row[columns.index("changed")] for row in rows] == ["plain"]
    assert rows[0][columns.index("verdict")] == "gain"


def test_the_page_has_plots_of_gains_and_over_k_and_needs_nothing_else():
    page = to_html([table(over_k(settings=2), definition(requirements=ASKED)), table([], definition("empty"))])
    assert len(re.findall("<svg", page)) == 3
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "<b>1 of 2</b><span>requirements met" in page
    assert "<b>0 of 1</b><span>aims met" in page
    assert page.count("<details>") == page.count("</details>") == 6 + 1 + 2


def test_no_text_becomes_markup():
    odd = "a<i> | b"
    asked = dataclasses.replace(definition(requirements=[Requirement(odd, "", checks.gain(0))]), title=odd, caption=odd)
    one = table([measurement(s, setting=odd, router=0.5, facts={odd: odd}, **{odd: 0.4}) for s in (0, 1)], asked)
    assert "<i>" not in to_html([one])
    text = to_markdown(one)
    assert "<i>" not in text
    for block in text.split("\n\n"):
        if block.startswith("|"):
            assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block


def test_the_gains_closest_to_the_router_are_drawn_and_few_of_a_setting():
    def measured(seed, place):
        baselines = {f"p{row:02}": 0.5 - 0.01 * row - 0.0001 * seed for row in range(15)}
        return measurement(seed, setting=f"setting {place}", router=0.5, **baselines)

    many = [measured(seed, place) for seed in range(3) for place in range(8)]
    (plot,) = draw_plots(table(many))
    assert plot.title.endswith("of 24 differences are significant")
    assert "p02" in plot.svg
    assert "p03" not in plot.svg
    (plot,) = draw_plots(table(many[::8]))
    assert "p11" in plot.svg
    assert "p12" not in plot.svg


def test_of_more_settings_than_fit_whole_ones_are_drawn():
    seeds = [
        measurement(seed, setting=f"without {place}", k=k, router=0.5, ridge=0.4, blind=0.3, full=0.3 + 0.01 * place)
        for seed in (0, 1) for place in range(9) for k in (0, 5, 20, 100)
    ]  # fmt: skip
    gains = draw_plots(table(seeds))[0]
    assert gains.title.endswith("of 24 differences are significant")
    assert "without 3" in gains.svg
    assert "without 2" not in gains.svg
    assert "largest learnable gain" in gains.caption


def test_of_many_settings_over_k_those_with_most_to_gain_are_drawn():
    seeds = [
        measurement(seed, setting=f"without {place}", k=k, router=0.5, ridge=0.4, blind=0.3, full=0.3 + 0.01 * place)
        for seed in (0, 1) for place in range(7) for k in (0, 20)
    ]  # fmt: skip
    _, *plots = draw_plots(table(seeds))
    assert [plot.title.split(":")[0] for plot in plots] == [f"without {place}" for place in (6, 5, 4, 3)]
    assert draw_plots(table([])) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(48.4, "48 s"), (720, "12 min"), (6000, "1 h 40 min"), (7199, "2 h 0 min")]
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text
