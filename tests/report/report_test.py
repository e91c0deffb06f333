"""The three forms of a report: exact JSON, pages that name everything and fetch nothing, whole files."""

import dataclasses
import html.parser
import json
import math
import re

import matplotlib
import numpy as np
import pytest
from markupsafe import escape

from prouter_jax.io.display import DASH, dollars, number, percent
from prouter_jax.report import write as report_html
from prouter_jax.report.plots_policies import _keep_distance
from prouter_jax.report.plots_users import plot_gain_by_user
from prouter_jax.report.text import STYLE_NOTE, headline, to_markdown
from prouter_jax.report.types import (
    MATCHED,
    POLICY_DESCRIPTIONS,
    POLICY_NAMES,
    FrontierPoint,
    PairedDifference,
    PolicyResult,
    Report,
    SeedStatistics,
    ShareTable,
    UserRow,
)
from prouter_jax.report.write import draw_plots, to_html, to_json, write_report
from prouter_jax.serving.explain import DecisionInfluence, Explanation

NAN = math.nan
ODD = 'a<b>&"c" | $x$ http://odd'


def _spread(mean: float, seeds: int) -> SeedStatistics:
    values = [mean + 0.01 * (seed - (seeds - 1) / 2) for seed in range(seeds)]
    return SeedStatistics(mean, float(np.std(values)) if seeds > 1 else 0.0, values)


def _policy(reward: float, seeds: int, users: list[str]) -> PolicyResult:
    spreads = [_spread(value, seeds) for value in (reward, 2 * reward - 1, reward / 2, reward / 3, reward / 1000)]
    return PolicyResult(*spreads, {"task": reward, ODD: NAN}, dict.fromkeys(users, reward))


def _report(seeds: int = 3, users: int = 5, llms: int = 4, preference: float = 0.5) -> Report:
    ids = [ODD, *(f"user {i}" for i in range(1, users))]
    names = [*POLICY_DESCRIPTIONS, ODD]
    policies = {name: _policy(0.9 - 0.05 * row, seeds, ids) for row, name in enumerate(names)}
    paired = [
        PairedDifference("router", "best_per_user", 0.02, 0.01, 0.03, "seeds", seeds),
        PairedDifference("router", "best_per_user", 0.02, -0.01, 0.05, "test queries", 100),
        PairedDifference("router", "user_blind", 0.04, NAN, NAN, "seeds", 1),
    ]
    rows = [UserRow(name, preference, 0.7 + 0.1 * (-1) ** i, 0.7, ODD) for i, name in enumerate(ids)]
    shares = np.random.default_rng(0).dirichlet(np.ones(llms), size=min(users, 12))
    table = ShareTable(ids[:12], [ODD, *(f"llm {i}" for i in range(1, llms))], shares)
    frontier = [FrontierPoint(f"{p:.1f}", 0.3 + p / 10, 0.0001 * 30**p) for p in (0.0, 0.5, 1.0)]
    return Report(ODD, {"data set": ODD}, "reward", policies, paired, rows, table, frontier)


def _strict(text: str):
    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_json_holds_every_value_exactly_and_null_for_nan():
    report = _report()
    found = _strict(to_json(report))
    assert list(found) == ["title", "facts", "policies", "paired", "users", "shares", "frontier"]
    assert found["title"] == ODD
    for name, result in report.policies.items():
        assert found["policies"][name]["reward"] == dataclasses.asdict(result.reward)
        assert found["policies"][name]["per_user"] == result.per_user
    assert found["policies"]["router"]["per_task"] == {"task": 0.9, ODD: None}
    assert found["paired"][0] == dataclasses.asdict(report.paired[0])
    assert found["paired"][2]["low"] is None
    assert np.array_equal(found["shares"]["shares"], report.shares.shares)
    assert found["frontier"][1] == dataclasses.asdict(report.frontier[1])


def test_json_takes_numpy_numbers():
    report = _report()
    user = UserRow("u", np.float32(NAN), np.float64(0.1), np.float64(-math.inf), "l")  # pyright: ignore
    found = _strict(to_json(dataclasses.replace(report, users=[user])))["users"][0]
    assert found == {"user_id": "u", "preference": None, "reward": 0.1, "best_single": None, "favourite_llm": "l"}


@pytest.fixture(scope="module")
def page() -> str:
    return to_html(_report())


def test_pages_name_every_policy_with_its_explanation(page):
    markdown = to_markdown(_report())
    for name, words in POLICY_DESCRIPTIONS.items():
        assert f"| {POLICY_NAMES[name]} |" in markdown
        assert words in markdown
        assert f"<td>{escape(POLICY_NAMES[name])}<small>{escape(words)}</small></td>" in page
    for code in ("best_per_user", "user_blind", "best_single"):
        assert code not in markdown + page
    assert f"<td>{escape(ODD)}</td>" in page


def test_ids_cannot_become_markup(page):
    markdown = to_markdown(_report())
    assert "<b>" not in page.replace('<div class="tile"><b>', "")
    assert "<b>" not in markdown
    assert 'a&lt;b&gt;&amp;"c" \\| $x$' in markdown
    evil = dataclasses.replace(_report(), title="</title><script>alert(1)</script>", facts={"k": "--><script>"})
    assert "<script" not in to_html(evil)
    script = "<script>alert(1)</script>"
    explanation = Explanation(script, script, script, 0.7, script, 0.2, [], [], 3, 3, True)
    user = dataclasses.replace(_report().users[0], user_id=script, favourite_llm=script)
    evil = dataclasses.replace(_report(), users=[user], explanations=[explanation])
    assert to_html(evil).count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 6
    assert "<script" not in to_html(evil)


def test_page_fetches_nothing(page):
    addresses = _Addresses()
    addresses.feed(page)
    assert addresses.plots == 5
    assert all(address.startswith("#") for address in addresses.found)
    assert not re.search(r"@import|url\((?!#)", page)
    assert page.index("Content-Security-Policy\" content=\"default-src 'none'") < page.index("<title>")


class _Addresses(html.parser.HTMLParser):
    """Collects whatever a browser would fetch, and checks that plots have a label and ids are unique."""

    def __init__(self):
        super().__init__()
        self.found, self.ids, self.plots = [], set(), 0

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        assert tag not in ("script", "link", "iframe", "img", "object")
        self.found += [value for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "data")]
        if "id" in values:
            assert values["id"] not in self.ids
            self.ids.add(values["id"])
        if tag == "svg":
            assert values["role"] == "img"
            assert len(values["aria-label"]) > 20
            self.plots += 1


def test_same_report_gives_the_same_bytes_and_leaves_matplotlib_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    for folder in ("a", "b"):
        write_report(_report(), tmp_path / folder)
    for name in ("report.json", "report.md", "report.html"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert dict(matplotlib.rcParams) == before
    assert len(list((tmp_path / "a").iterdir())) == 3


def test_a_failure_leaves_the_old_report(tmp_path, monkeypatch):
    monkeypatch.setattr(report_html, "to_html", lambda report: report.title)
    write_report(_report(), tmp_path)
    old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    new = dataclasses.replace(_report(), title="new")
    with pytest.raises(UnicodeEncodeError):
        write_report(dataclasses.replace(new, facts={"bad": "\ud800"}), tmp_path)
    monkeypatch.setattr(report_html, "to_html", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(new, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == old


def test_one_seed_shows_no_spread():
    report = _report(seeds=1)
    markdown, page = to_markdown(report), to_html(report)
    assert "±" not in markdown + page
    assert "whiskers" not in page
    assert "no interval, 1 seed" in markdown


def test_headline_claims_no_more_than_the_widest_interval():
    lines = headline(_report())
    assert "a mean reward of 0.900: level with each user's best LLM (+0.020, 95 % interval -0.010 to +0.050" in lines[0]
    assert "over 100 test queries" in lines[0]
    assert lines[1] == "It is not yet comparable with the router without user history (+0.040, no interval, 1 seed)."
    assert "80.0 %" in lines[2]


def test_headline_names_the_strongest_baseline_where_it_is_another():
    report = _report()
    policies = {
        name: result for name, result in report.policies.items() if name not in ("best_single", "best_per_user")
    }
    difference = PairedDifference("router", "best_per_user_task", 0.01, -0.01, 0.03, "seeds", 3)
    for measured in ([difference], [difference, *report.paired]):
        told = dataclasses.replace(report, policies=policies, paired=measured)
        words = "level with the strongest simple rule, each user's best LLM by task"
        sentence = f"{words} (+0.010, 95 % interval -0.010 to +0.030 over 3 seeds)."
        assert headline(told)[0].endswith(sentence)
        assert str(escape(words)) in to_html(told)
    assert "strongest simple rule" not in " ".join(headline(dataclasses.replace(report, policies=policies)))


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [(0.01, 0.03, "better than"), (-0.03, -0.01, "worse than"), (0.0, 0.02, "level with"), (0.0, 0.0, "the same as")],
)
def test_the_verdict_follows_from_the_interval(low, high, words):
    row = PairedDifference("router", "user_blind", (low + high) / 2, low, high, "seeds", 3)
    said = headline(dataclasses.replace(_report(), paired=[row]))[0]
    assert f": {words} the router without user history (" in said


def test_shares_are_told_in_per_cent_and_points_with_what_they_are():
    report = dataclasses.replace(_report(seeds=1), reward_name=MATCHED, facts={"split": "cold user, seeds 0"})
    markdown, page = to_markdown(report), to_html(report)
    assert "picks the LLM that the user chose in 90.0 % of the test decisions: level with" in markdown
    assert "+2.0 points, 95 % interval -1.0 to +5.0 points" in markdown
    for text in (markdown, page):
        assert (
            "It is not the share of right answers. Tested on users and queries that the training did not have" in text
        )
    assert "best LLM picked" not in page  # the share of choices matched is this number
    assert "best LLM picked" in to_html(_report())


def test_a_page_on_choices_says_that_quality_and_cost_are_not_the_measure():
    report = dataclasses.replace(_report(), reward_name=MATCHED)
    assert STYLE_NOTE in to_html(report)
    assert STYLE_NOTE not in to_html(_report())
    unknown = SeedStatistics(NAN, NAN, [NAN])
    router = dataclasses.replace(report.policies["router"], effect=unknown, cost=unknown)
    assert STYLE_NOTE not in to_html(dataclasses.replace(report, policies={"router": router}))


def test_no_number_stands_twice_on_the_page_before_its_parts_are_opened():
    report = _report(seeds=1)
    router = dataclasses.replace(report.policies["router"], cost=_spread(0.00123, 1))
    report = dataclasses.replace(report, policies={**report.policies, "router": router}, paired=report.paired[:1])
    shown = re.sub(r"<(details|style|svg).*?</\1>", "", to_html(report), flags=re.DOTALL)
    found = re.findall(r"[+-]?\d+\.\d+", re.sub("<[^>]*>", " ", shown))
    assert len(found) >= 6
    assert len(found) == len(set(found))


def test_rows_of_wide_tables_are_cards_on_a_phone(page):
    assert '<td data-label="gap closed">' in page
    assert 'class="cards"' in page


def test_captions_name_only_what_is_drawn():
    report = _report(llms=8, preference=NAN)
    captions = " ".join(plot.caption for plot in draw_plots(report))
    assert "hatching" not in captions
    assert "Orange: a loss" in captions
    assert "Grey: level" in captions
    rows = [dataclasses.replace(user, reward=0.9) for user in report.users]
    report = dataclasses.replace(_report(llms=9, preference=NAN), users=rows, paired=report.paired[:1])
    captions = " ".join(plot.caption for plot in draw_plots(report))
    assert "Each colour with its hatching" in captions
    assert "Orange: a loss" not in captions
    assert "Grey: level" not in captions
    assert "unknown" not in to_html(report)


def test_the_page_says_how_to_read_explanations():
    influence = DecisionInfluence("q", "chose a", 0.01, -0.1)
    explanation = Explanation("u", "q", "a", 0.7, "b", 0.2, [influence], [], 1, 1, False)
    page = to_html(dataclasses.replace(_report(), explanations=[explanation]))
    assert "measured by leaving it out" in page
    assert "<td>+1.0 points</td><td>chose a: q</td>" in page


def test_unknown_numbers_leave_out_plots_but_not_the_page():
    unknown = SeedStatistics(NAN, NAN, [NAN, NAN])
    policies = {"router": PolicyResult(unknown, unknown, unknown, unknown, unknown, {}, {})}
    nothing = Report("empty", {}, "reward", policies, [], [], ShareTable([], [], []), [])
    assert draw_plots(nothing) == []
    assert f'<td data-label="reward">{DASH}</td>' in to_html(nothing)
    assert _strict(to_json(nothing))["policies"]["router"]["reward"] == {
        "mean": None,
        "spread": None,
        "values": [None, None],
    }
    none = dataclasses.replace(nothing, policies={})
    assert "no results of the personal router" in to_markdown(none)
    assert "no results of the personal router" in to_html(none)


@pytest.mark.parametrize(("users", "llms", "preference"), [(1, 1, 0.5), (9, 29, NAN), (1000, 2, NAN), (30, 40, 0.1)])
def test_plots_of_every_size(users, llms, preference):
    plots = draw_plots(_report(users=users, llms=llms, preference=preference))
    assert len(plots) == 5
    gain = plots[3]
    assert ("sorted by gain" in gain.svg) == math.isnan(preference)
    assert all(plot.title and plot.caption.endswith(".") for plot in plots)


def test_a_plot_of_many_users_is_no_larger():
    plots = [plot_gain_by_user(_report(users=users, llms=2, preference=NAN)) for users in (499, 1001, 20_000)]
    sizes = [len(plot.svg) for plot in plots]
    assert sizes[2] < 1.2 * sizes[0]
    assert [plot.caption.split(".")[0] for plot in plots] == [
        "One bar per user",
        "Each bar is the mean of 3 users who follow each other",
        "Each bar is the mean of 40 users who follow each other",
    ]


def test_ids_of_any_script_are_drawn_without_a_warning():
    report = _report()
    table = ShareTable(["用户", "مستخدم"], ["模型", "llm"], np.full((2, 2), 0.5))
    assert "用户" in draw_plots(dataclasses.replace(report, shares=table))[4].svg


def test_labels_keep_their_distance_and_order():
    heights = _keep_distance(np.array([0.0, 0.5, 0.5, 0.51, 0.99, 1.0]), gap=0.1)
    assert np.diff(heights).min() > 0.0999
    assert heights.min() >= 0
    assert heights.max() <= 1.0001
    assert _keep_distance(np.array([0.3]), gap=0.1).tolist() == [0.3]


@pytest.mark.parametrize(
    ("cost", "text"), [(NAN, DASH), (0, "0"), (1.23e-5, "0.0123"), (0.0021, "2.10"), (1.5, "1,500")]
)
def test_costs_are_readable(cost, text):
    assert dollars(cost) == text


def test_what_rounds_to_zero_has_no_minus():
    assert [number(-0.00001), number(-0.00001, sign=True), percent(-0.0001)] == ["0.0000", "+0.0000", "0.0 %"]
