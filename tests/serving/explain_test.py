"""Explanations are true: they name the planted preference, and what they say a decision adds is gone without it."""

import copy
import dataclasses
import json
import sys

import numpy as np
import processes
import pytest

from prouter_jax import Router, config
from prouter_jax.config import Embedded
from prouter_jax.data import interactions as tables
from prouter_jax.data.interactions import strings
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.graph.world import save_world
from prouter_jax.serving import explain as module
from prouter_jax.serving.explain import Question
from prouter_jax.serving.router import CONFIG, WORLD
from prouter_jax.training.loop import train

TEXT = "How many apples are left if Grace gives away seven of her twenty?"


def _train(settings: config.ExperimentConfig, folder) -> Router:
    dataset = prepare_dataset(read_source(settings.data), settings.data, 0)
    save_world(dataset.world, folder / WORLD)
    (folder / CONFIG).write_text(config.to_json(settings))
    train(settings, dataset, folder)
    return Router.load(folder)


@pytest.fixture(scope="module", params=["em", "paper"])
def router(request, tmp_path_factory) -> Router:
    """Recorded users of the embedded benchmark, once for each network; a few steps of the paper's."""
    settings = config.ExperimentConfig()
    settings.data.encoder, settings.model.preset = "hash", request.param
    settings.data.embedded = Embedded(3, 100, 4, 6, 20)
    settings.model.factor_dim, settings.model.hidden_dim, settings.model.message_passing_steps = 2, 8, 1
    settings.model.unseen_queries, settings.optimizer.learning_rate = "utility", 0.03
    settings.train.num_train_steps = settings.train.eval_every_steps = {"em": 8, "paper": 40}[request.param]
    return _train(settings, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Router:
    """Users who rate answers by quality and cost alone, read by a network that knows of nothing else."""
    settings = config.ExperimentConfig()
    settings.data.encoder, settings.data.users, settings.data.num_users = "hash", "multi_cost_efficiency", 5
    settings.data.embedded, settings.data.preference_min = Embedded(3, 100, 4), 0.0
    settings.data.feedback, settings.model.unseen_queries = "rating", "utility"
    model = settings.model
    model.factor_dim, model.style, model.llm_weights, model.population_mean = 0, False, False, False
    settings.train.num_train_steps = settings.train.eval_every_steps = 8
    return _train(settings, tmp_path_factory.mktemp("planted"))


def _fan_of(router: Router, llm: str, path, number: int = 9) -> list[dict]:
    """Decisions of somebody who always chose one LLM, in a file."""
    ids = router.world.interactions.queries.ids[:number]
    rows = [{"user_id": "fan", "query_id": query, "llm": llm} for query in ids]
    _write(path, rows)
    return rows


def _write(path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _chance(router: Router, user: str, llm: str) -> float:
    return router.score([user], [TEXT]).probabilities[0][llm]


def _pair(router: Router, user: int, wanted) -> Question:
    """A question of a user with the two LLMs on offer that are furthest apart by `wanted` of effect and cost."""
    asked = module.ask(router._pool, router.known.users.ids[user], TEXT)
    effect, cost = asked.asked.answers[0, :, :2].T
    apart = wanted(np.abs(effect[:, None] - effect), np.abs(cost[:, None] - cost))
    first, second = np.unravel_index(apart.argmax(), apart.shape)
    return dataclasses.replace(asked, offered=np.isin(np.arange(len(effect)), (first, second)))


def test_the_planted_preference_leads(planted):
    """Between LLMs of different cost the thrifty are led by cost, between good and bad ones the others by effect."""
    thrifty = planted.explain_question(_pair(planted, 0, lambda effect, cost: cost - effect))
    assert thrifty.properties[0].name == "cost"
    assert thrifty.properties[0].log_odds > 0
    assert thrifty.properties[0].weight < thrifty.properties[0].cold_start_user < 0
    good = planted.explain_question(_pair(planted, -1, lambda effect, cost: effect - cost))
    assert good.properties[0].name == "effect"
    assert good.properties[0].log_odds > 0
    assert good.properties[0].weight > good.properties[0].cold_start_user > 0


@pytest.mark.parametrize("user", [0, 1, -1])
def test_the_numbers_are_those_of_the_planted_preference(planted, user):
    """Weight w on effect, w - 1 on cost; a stranger's the mean of users of one size."""
    w = planted.known.users.preference
    truth = np.stack([w, w - 1], 1)
    cold_start_user = (truth / np.linalg.norm(truth, axis=1, keepdims=True)).mean(0)
    asked = module.ask(planted._pool, planted.known.users.ids[user], TEXT)
    told = planted.explain_question(asked)
    pick, second = (planted.llms.index(llm) for llm in (told.llm, told.runner_up))
    apart = asked.asked.answers[0, pick, :2] - asked.asked.answers[0, second, :2]
    expected = planted.trained.temperature * planted.scorer.sharpness * (truth[user] - cold_start_user) * apart
    found = {row.name: row.log_odds for row in told.properties}
    assert [found["effect"], found["cost"]] == pytest.approx(expected, rel=0.02, abs=0.01)


def test_a_property_adds_what_a_strangers_weight_would_take(planted):
    user, named = planted.known.users.ids[0], planted.scorer.named
    row = list(planted.known.users.ids).index(user)
    told = planted.explain(user, TEXT)
    for found in told.properties:
        users = planted.users.copy()
        users[row, named[found.name]] = planted.scorer.cold_start_user[named[found.name]]
        other = dataclasses.replace(planted, users=users)
        with_it, without = (
            np.log(_chance(some, user, told.llm) / _chance(some, user, told.runner_up)) for some in (planted, other)
        )
        assert found.log_odds == pytest.approx(with_it - without, abs=1e-3)


def test_only_the_default_network_names_properties(router):
    found = [row.name for row in router.explain("u0", TEXT, most=1000).properties]
    if router.trained.model.preset == "paper":
        assert found == []
    else:
        assert {"effect", "cost", "style: words", "this LLM", "the crowd's liking", "tastes"} <= set(found)
        assert "constant" not in found


def test_the_pick_is_the_one_that_scoring_picks(router):
    told = router.explain("u1", TEXT)
    scores = router.score(["u1"], [TEXT])
    assert told.llm == scores.llm[0]
    ordered = sorted(scores.probabilities[0].items(), key=lambda pair: -pair[1])
    assert (told.llm, told.runner_up) == (ordered[0][0], ordered[1][0])
    assert told.probability == pytest.approx(ordered[0][1], abs=1e-6)
    assert told.runner_up_probability == pytest.approx(ordered[1][1], abs=1e-6)


def test_the_task_counts(router):
    chances = []
    for task in router.world.interactions.tasks.ids:
        told = router.explain("u1", TEXT, task)
        scores = router.score(["u1"], [TEXT], task_ids=[task])
        assert told.probability == pytest.approx(scores.probabilities[0][told.llm], abs=1e-6)
        chances.append(told.probability)
    assert np.ptp(chances) > 1e-4


def test_what_a_decision_is_said_to_add_is_gone_without_it(router, tmp_path):
    favourite = router.llms[-1]
    rows = _fan_of(router, favourite, tmp_path / "all.jsonl")
    known = router.with_history(tmp_path / "all.jsonl")
    told = known.explain("fan", TEXT, most=100)
    assert (told.decided, told.tried, len(told.decisions)) == (9, 9, 9)
    texts = dict(zip(router.world.interactions.queries.ids, router.world.interactions.queries.texts, strict=True))
    assert {row.query for row in told.decisions} == {texts[row["query_id"]] for row in rows}
    sizes = [abs(row.probability) for row in told.decisions]
    assert sizes == sorted(sizes, reverse=True)
    for found in told.decisions[:2]:
        _write(tmp_path / "less.jsonl", [row for row in rows if texts[row["query_id"]] != found.query])
        less = router.with_history(tmp_path / "less.jsonl")
        lost = _chance(known, "fan", told.llm) - _chance(less, "fan", told.llm)
        assert found.probability == pytest.approx(lost, abs=1e-5)
        odds = [np.log(_chance(some, "fan", told.llm) / _chance(some, "fan", told.runner_up)) for some in (known, less)]
        assert found.log_odds == pytest.approx(odds[0] - odds[1], abs=1e-4)
        assert abs(found.probability) > 1e-4


def test_decisions_for_an_llm_speak_for_it(tmp_path, planted):
    """Somebody who always chose the cheapest is told so by the decisions."""
    cost = np.nanmean(planted.scorer.cost, axis=0)
    favourite = planted.llms[int(cost.argmin())]
    _fan_of(planted, favourite, tmp_path / "all.jsonl")
    told = planted.with_history(tmp_path / "all.jsonl").explain("fan", TEXT, most=100)
    assert told.llm == favourite
    assert all(row.said == f"chose {favourite}" for row in told.decisions)
    assert sum(row.probability for row in told.decisions) > 0
    assert told.decisions[0].probability > 0
    assert told.decisions[0].log_odds > 0


def test_without_its_only_decision_a_user_is_a_stranger(router, tmp_path):
    _fan_of(router, router.llms[0], tmp_path / "one.jsonl", 1)
    known = router.with_history(tmp_path / "one.jsonl")
    (found,) = (told := known.explain("fan", TEXT)).decisions
    assert found.probability == pytest.approx(
        _chance(known, "fan", told.llm) - _chance(router, "nobody", told.llm), abs=1e-6
    )


def test_a_user_without_history_has_nothing_to_tell(router):
    users = router.known.users
    more = tables.Users(strings([*users.ids, "silent"]), np.append(users.preference, np.nan))
    states = np.concatenate([router.users, router.scorer.cold_start_user[None]])
    silent = dataclasses.replace(router, known=router.known.replace(users=more), users=states)
    told = silent.explain("silent", TEXT)
    assert (told.decisions, told.properties, told.decided) == ([], [], 0)
    assert "no past decisions" in told.to_text()
    assert told.probability == pytest.approx(max(router.score(["nobody"], [TEXT]).probabilities[0].values()), abs=1e-6)


def test_of_many_decisions_some_are_tried(router, monkeypatch):
    monkeypatch.setattr(module, "_MOST_TRIED", 4)
    known = router.known
    theirs = np.flatnonzero(known.decisions.user == 0)
    untimed = _at(router, np.full(len(known.decisions.user), np.nan))
    even = untimed.explain("u0", TEXT, most=100)
    assert (even.decided, even.tried, len(even.decisions), even.newest) == (len(theirs), 4, 4, False)
    assert f"Of the user's {len(theirs)} past decisions 4, spread evenly" in even.to_text()
    at = np.arange(len(known.decisions.user))[::-1].astype(float)  # the first row is the newest
    newest = _at(router, at).explain("u0", TEXT, most=100)
    assert newest.newest
    texts = known.queries.texts[known.decisions.query[theirs[:4]]]
    assert {row.query for row in newest.decisions} == set(texts)
    whole = {row.query: row.probability for row in _all_of(router, monkeypatch).decisions}
    for row in newest.decisions:
        assert row.probability == pytest.approx(whole[row.query], abs=1e-5)


def _at(router, time):
    """The router with decisions of other times."""
    decisions = dataclasses.replace(router.known.decisions, time=time)
    return dataclasses.replace(router, known=router.known.replace(decisions=decisions))


def _all_of(router, monkeypatch):
    monkeypatch.setattr(module, "_MOST_TRIED", 200)
    return router.explain("u0", TEXT, most=100)


def test_only_llms_on_offer_are_compared(router):
    asked = module.ask(router._pool, "u0", TEXT)
    best = router.explain("u0", TEXT)
    offered = np.array([llm != best.llm for llm in router.llms])
    told = router.explain_question(dataclasses.replace(asked, offered=offered))
    assert told.llm == best.runner_up
    rest = {llm: p for llm, p in router.score(["u0"], [TEXT]).probabilities[0].items() if llm != best.llm}
    assert told.probability == pytest.approx(rest[told.llm] / sum(rest.values()), abs=1e-6)
    one = Question(asked.user, TEXT, asked.asked, np.arange(len(offered)) == 0)
    with pytest.raises(ValueError, match="at least 2 LLMs"):
        router.explain_question(one)


def test_what_was_rated_is_told(router):
    known = copy.copy(router.known)
    feedback = known.feedback
    rated = dataclasses.replace(feedback, kind=np.full_like(feedback.kind, tables.RATING))
    said = module.build_decisions(known.replace(feedback=rated), np.arange(1))
    llm = known.llms.ids[feedback.llm[feedback.decision == 0][0]]
    assert module._words(known, said, 0) == f"rated {llm} best (1)"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("nobody", TEXT), "user_id: expected one of 6 known users, found 'nobody'"),
        (("u0", ""), "query: expected a text"),
        (("u0", TEXT, "cooking"), "task_id: expected one of .*, found 'cooking'"),
        (("u0", TEXT, "", 0), "most: expected at least 1"),
    ],
)
def test_what_cannot_be_explained_is_one_line(router, arguments, found):
    with pytest.raises(ValueError, match=found) as caught:
        router.explain(*arguments)
    assert "\n" not in str(caught.value)


# ---- launch.explain


def _run(*arguments):
    return processes.run([sys.executable, *arguments])


_CALLS = """
import json, sys
from absl import flags
from launch import entry, explain
for arguments in json.loads(sys.argv[1]):
    flags.FLAGS.unparse_flags()
    sys.argv = ["explain.py", *arguments]
    try:
        entry.start(explain.main)
    except SystemExit as stop:
        print("exit", stop.code or 0, flush=True)
"""


def test_the_command_prints_the_explanation(experiment_workdir):
    router = Router.load(experiment_workdir)
    common = [f"--workdir={experiment_workdir}", f"--text={TEXT}"]
    task = router.world.interactions.tasks.ids[0]
    calls = [[*common, "--user=u00", f"--task={task}", "--most=3"], [*common, "--user=nobody"]]
    done = _run("-c", _CALLS, json.dumps(calls))
    assert done.stdout == router.explain("u00", TEXT, task, 3).to_text() + "\nexit 0\nexit 1\n"
    assert done.stderr.splitlines() == ["explain: user_id: expected one of 12 known users, found 'nobody'"]
