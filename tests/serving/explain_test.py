"""Explanations: they find the planted preference, and an influence equals the change without the decision."""

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
from prouter_jax.serving.root_digest import CONFIG, WORLD
from prouter_jax.training.loop import train

TEXT = "How many apples are left if Grace gives away seven of her twenty?"


def _train(settings: config.ExperimentConfig, folder) -> Router:
    dataset = prepare_dataset(read_source(settings.data), settings.data, 0)
    save_world(dataset.world, folder / WORLD)
    (folder / CONFIG).write_text(config.to_json(settings))
    train(settings, dataset, folder)
    return Router.load_trained(folder)


@pytest.fixture(scope="module", params=["em", "paper"])
def router(request, tmp_path_factory) -> Router:
    """Recorded users of the embedded benchmark, once for each network; a few steps of the paper's."""
    settings = config.ExperimentConfig()
    settings.data.encoder, settings.model.preset = "hash", request.param
    settings.data.embedded, settings.train.refit = Embedded(3, 100, 4, 6, 20), False
    settings.model.factor_dim, settings.model.hidden_dim, settings.model.message_passing_steps = 2, 8, 1
    settings.model.unseen_queries, settings.optimizer.learning_rate = "utility", 0.03
    settings.train.num_train_steps = settings.train.eval_every_steps = {"em": 8, "paper": 40}[request.param]
    return _train(settings, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> Router:
    """Users who rate answers by effect and cost alone, and a network without further properties."""
    settings = config.ExperimentConfig()
    settings.data.encoder, settings.data.users, settings.data.num_users = "hash", "multi_cost_efficiency", 5
    settings.data.embedded, settings.data.preference_min = Embedded(3, 100, 4), 0.0
    settings.data.feedback, settings.model.unseen_queries = "rating", "utility"
    model = settings.model
    model.factor_dim, model.style, model.llm_weights, model.population_mean = 0, False, False, False
    settings.train.num_train_steps = settings.train.eval_every_steps = 8
    settings.train.refit = False
    return _train(settings, tmp_path_factory.mktemp("planted"))


def _write_fan_of(router: Router, llm: str, path, number: int = 9) -> list[dict]:
    """Writes decisions of a user who always chooses one LLM."""
    ids = router.world.interactions.queries.ids[:number]
    rows = [{"user_id": "fan", "query_id": query, "llm": llm} for query in ids]
    _write(path, rows)
    return rows


def _write(path, rows) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def _probability(router: Router, user: str, llm: str) -> float:
    return router.score([user], [TEXT]).probabilities[0][llm]


def _log_odds(router: Router, user: str, why) -> float:
    """Of the pick of an explanation against its runner-up."""
    return np.log(_probability(router, user, why.llm) / _probability(router, user, why.runner_up))


def _pair(router: Router, user: int, wanted) -> Question:
    """A question with two candidates: the LLMs that differ most by `wanted` of the differences of effect and cost."""
    question = module.ask(router._pool, router.interactions.users.ids[user], TEXT)
    effect, cost = question.batch.answers[0, :, :2].T
    apart = wanted(np.abs(effect[:, None] - effect), np.abs(cost[:, None] - cost))
    first, second = np.unravel_index(apart.argmax(), apart.shape)
    return dataclasses.replace(question, offered=np.isin(np.arange(len(effect)), (first, second)))


def test_the_planted_preference_leads(planted):
    """Cost leads for thrifty users and LLMs of different cost; effect leads for the others and LLMs of other effect."""
    thrifty = planted.explain_question(_pair(planted, 0, lambda effect, cost: cost - effect))
    assert thrifty.properties[0].name == "cost"
    assert thrifty.properties[0].log_odds > 0
    assert thrifty.properties[0].weight < thrifty.properties[0].new_user_weight < 0
    good = planted.explain_question(_pair(planted, -1, lambda effect, cost: effect - cost))
    assert good.properties[0].name == "effect"
    assert good.properties[0].log_odds > 0
    assert good.properties[0].weight > good.properties[0].new_user_weight > 0


@pytest.mark.parametrize("user", [0, 1, -1])
def test_the_numbers_are_those_of_the_planted_preference(planted, user):
    """The true weights are w on effect and w - 1 on cost; a new user's are the mean of the normalised ones."""
    w = planted.interactions.users.preference
    truth = np.stack([w, w - 1], 1)
    cold_start_user = (truth / np.linalg.norm(truth, axis=1, keepdims=True)).mean(0)
    question = module.ask(planted._pool, planted.interactions.users.ids[user], TEXT)
    why = planted.explain_question(question)
    pick, second = (planted.llms.index(llm) for llm in (why.llm, why.runner_up))
    apart = question.batch.answers[0, pick, :2] - question.batch.answers[0, second, :2]
    expected = planted.trained.temperature * planted.scorer.sharpness * (truth[user] - cold_start_user) * apart
    found = {row.name: row.log_odds for row in why.properties}
    assert [found["effect"], found["cost"]] == pytest.approx(expected, rel=0.02, abs=0.01)


def test_a_property_influence_is_the_change_under_a_new_users_weight(planted):
    user, named = planted.interactions.users.ids[0], planted.scorer.named
    row = list(planted.interactions.users.ids).index(user)
    why = planted.explain(user, TEXT)
    for found in why.properties:
        users = planted.users.copy()
        users[row, named[found.name]] = planted.scorer.cold_start_user[named[found.name]]
        other = dataclasses.replace(planted, users=users)
        change = _log_odds(planted, user, why) - _log_odds(other, user, why)
        assert found.log_odds == pytest.approx(change, abs=1e-3)


def test_only_the_default_network_names_properties(router):
    found = [row.name for row in router.explain("u0", TEXT, most=1000).properties]
    if router.trained.model.preset == "paper":
        assert found == []
    else:
        assert {"effect", "cost", "style: words", "this LLM", "population mean utility", "latent factors"} <= set(found)
        assert "constant" not in found


def test_the_pick_is_the_one_that_scoring_picks(router):
    why = router.explain("u1", TEXT)
    scores = router.score(["u1"], [TEXT])
    assert why.llm == scores.llm[0]
    ordered = sorted(scores.probabilities[0].items(), key=lambda pair: -pair[1])
    assert (why.llm, why.runner_up) == (ordered[0][0], ordered[1][0])
    assert why.probability == pytest.approx(ordered[0][1], abs=1e-6)
    assert why.runner_up_probability == pytest.approx(ordered[1][1], abs=1e-6)


def test_the_task_counts(router):
    chances = []
    for task in router.world.interactions.tasks.ids:
        why = router.explain("u1", TEXT, task)
        scores = router.score(["u1"], [TEXT], task_ids=[task])
        assert why.probability == pytest.approx(scores.probabilities[0][why.llm], abs=1e-6)
        chances.append(why.probability)
    assert np.ptp(chances) > 1e-4


def test_a_decision_influence_is_the_change_without_the_decision(router, tmp_path):
    favourite = router.llms[-1]
    rows = _write_fan_of(router, favourite, tmp_path / "all.jsonl")
    known = router.with_history(tmp_path / "all.jsonl")
    why = known.explain("fan", TEXT, most=100)
    assert (why.num_decisions, why.num_left_out, len(why.decisions)) == (9, 9, 9)
    texts = dict(zip(router.world.interactions.queries.ids, router.world.interactions.queries.texts, strict=True))
    assert {row.query for row in why.decisions} == {texts[row["query_id"]] for row in rows}
    sizes = [abs(row.probability) for row in why.decisions]
    assert sizes == sorted(sizes, reverse=True)
    for found in why.decisions[:2]:
        _write(tmp_path / "less.jsonl", [row for row in rows if texts[row["query_id"]] != found.query])
        less = router.with_history(tmp_path / "less.jsonl")
        lost = _probability(known, "fan", why.llm) - _probability(less, "fan", why.llm)
        assert found.probability == pytest.approx(lost, abs=1e-5)
        assert found.log_odds == pytest.approx(_log_odds(known, "fan", why) - _log_odds(less, "fan", why), abs=1e-4)
        assert abs(found.probability) > 1e-4


def test_decisions_for_an_llm_raise_its_probability(tmp_path, planted):
    """A user who always chooses the cheapest LLM."""
    cost = np.nanmean(planted.scorer.cost, axis=0)
    favourite = planted.llms[int(cost.argmin())]
    _write_fan_of(planted, favourite, tmp_path / "all.jsonl")
    why = planted.with_history(tmp_path / "all.jsonl").explain("fan", TEXT, most=100)
    assert why.llm == favourite
    assert all(row.feedback == f"chose {favourite}" for row in why.decisions)
    assert sum(row.probability for row in why.decisions) > 0
    assert why.decisions[0].probability > 0
    assert why.decisions[0].log_odds > 0


def test_without_its_only_decision_a_user_is_a_new_user(router, tmp_path):
    _write_fan_of(router, router.llms[0], tmp_path / "one.jsonl", 1)
    known = router.with_history(tmp_path / "one.jsonl")
    (found,) = (why := known.explain("fan", TEXT)).decisions
    assert found.probability == pytest.approx(
        _probability(known, "fan", why.llm) - _probability(router, "no one", why.llm), abs=1e-6
    )


def test_a_user_without_history_has_no_influences(router):
    users = router.interactions.users
    more = tables.Users(strings([*users.ids, "without"]), np.append(users.preference, np.nan))
    states = np.concatenate([router.users, router.scorer.cold_start_user[None]])
    without = dataclasses.replace(router, interactions=router.interactions.replace(users=more), users=states)
    why = without.explain("without", TEXT)
    assert (why.decisions, why.properties, why.num_decisions) == ([], [], 0)
    assert "no past decisions" in why.to_text()
    assert why.probability == pytest.approx(max(router.score(["no one"], [TEXT]).probabilities[0].values()), abs=1e-6)


def test_of_many_decisions_some_are_left_out(router, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LEFT_OUT", 4)
    known = router.interactions
    theirs = np.flatnonzero(known.decisions.user == 0)
    untimed = _at(router, np.full(len(known.decisions.user), np.nan))
    even = untimed.explain("u0", TEXT, most=100)
    assert (even.num_decisions, even.num_left_out, len(even.decisions), even.newest) == (len(theirs), 4, 4, False)
    assert (
        f"The influence of 4 of the user's {len(theirs)} past decisions was measured (evenly spaced)." in even.to_text()
    )
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
    decisions = dataclasses.replace(router.interactions.decisions, time=time)
    return dataclasses.replace(router, interactions=router.interactions.replace(decisions=decisions))


def _all_of(router, monkeypatch):
    monkeypatch.setattr(module, "_MOST_LEFT_OUT", 200)
    return router.explain("u0", TEXT, most=100)


def test_only_llms_on_offer_are_compared(router):
    question = module.ask(router._pool, "u0", TEXT)
    best = router.explain("u0", TEXT)
    offered = np.array([llm != best.llm for llm in router.llms])
    why = router.explain_question(dataclasses.replace(question, offered=offered))
    assert why.llm == best.runner_up
    rest = {llm: p for llm, p in router.score(["u0"], [TEXT]).probabilities[0].items() if llm != best.llm}
    assert why.probability == pytest.approx(rest[why.llm] / sum(rest.values()), abs=1e-6)
    one = Question(question.user, TEXT, question.batch, np.arange(len(offered)) == 0)
    with pytest.raises(ValueError, match="at least 2 LLMs"):
        router.explain_question(one)


def test_a_rating_is_put_into_words(router):
    known = copy.copy(router.interactions)
    feedback = known.feedback
    rated = dataclasses.replace(feedback, kind=np.full_like(feedback.kind, tables.RATING))
    decisions = module.build_decisions(known.replace(feedback=rated), np.arange(1))
    llm = known.llms.ids[feedback.llm[feedback.decision == 0][0]]
    assert module._feedback_text(known, decisions, 0) == f"rated {llm} best (1)"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (("no one", TEXT), "user_id: expected one of 6 users with history, found 'no one'"),
        (("u0", ""), "query: expected a text"),
        (("u0", TEXT, "cooking"), "task_id: expected one of .*, found 'cooking'"),
        (("u0", TEXT, "", 0), "most: expected at least 1"),
    ],
)
def test_a_bad_request_is_one_line(router, arguments, found):
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
    calls = [[*common, "--user=u00", f"--task={task}", "--most=3"], [*common, "--user=no one"]]
    done = _run("-c", _CALLS, json.dumps(calls))
    assert done.stdout == router.explain("u00", TEXT, task, 3).to_text() + "\nexit 0\nexit 1\n"
    reading = f"explain: reading the router in {experiment_workdir}"
    bad = "explain: user_id: expected one of 12 users with history, found 'no one'"
    assert done.stderr.splitlines() == [reading, reading, bad]


def test_the_text_says_why_the_two_influences_may_have_opposite_signs(router):
    assert module.OPPOSITE_SIGNS in router.explain("u0", TEXT).to_text().splitlines()
