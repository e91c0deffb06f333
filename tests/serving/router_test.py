"""The router as it is used: what cannot be loaded, new users, LLMs and prices; it serves what was judged."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from prouter_jax import Router
from prouter_jax import config as configuration
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.experiment import run_experiment
from prouter_jax.metrics import choose
from prouter_jax.model.answer_features import COST
from prouter_jax.model.inference import score_decisions
from prouter_jax.model.unseen_queries import CHOICE_WEIGHT
from prouter_jax.training.run import make_run, restore_best
from prouter_jax.training.validation import run_scorer

TEXT = "How many apples are left if Grace gives away seven of her twenty?"


@pytest.fixture(scope="module")
def router(experiment_workdir) -> Router:
    return Router.load(experiment_workdir)


@pytest.fixture
def workdir(experiment_workdir, tmp_path):
    return shutil.copytree(experiment_workdir, tmp_path / "run")


def _write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _table(scores, llms):
    """Probabilities as an array [rows, llms], NaN for no candidate."""
    return np.array([[row.get(llm, np.nan) for llm in llms] for row in scores.probabilities])


def _history_of(router, user, as_user):
    """What a user chose in training, as rows of a history file; ties are several rows."""
    data = router.world.interactions
    rows = []
    for decision in np.flatnonzero(data.decisions.user == list(data.users.ids).index(user)):
        on_offer = data.llms.ids[data.offers[data.decisions.offer[decision]]].tolist()
        for llm in data.feedback.llm[data.feedback.decision == decision]:
            query = data.queries.ids[data.decisions.query[decision]]
            rows.append(
                {"user_id": as_user, "query_id": query, "llm": data.llms.ids[llm], "candidates": "|".join(on_offer)}
            )
    return rows


# ---- Loading: an error in one line, never random weights.


def _without(name):
    def damage(workdir):
        path = workdir / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def _flipped(pattern):
    def damage(workdir):
        path = max(workdir.glob(pattern), key=lambda path: path.stat().st_size)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)

    return damage


def _other_size(workdir):
    config = configuration.from_json((workdir / "config.json").read_text())
    config.model.factor_dim = 5
    (workdir / "config.json").write_text(configuration.to_json(config))


DAMAGES = {
    "no workdir": (lambda workdir: shutil.rmtree(workdir), "config.json"),
    "no config": (_without("config.json"), "config.json"),
    "broken config": (lambda workdir: (workdir / "config.json").write_text("{"), "config.json"),
    "another size": (_other_size, "config.json: expected the file of this router"),
    "no checkpoints": (_without("checkpoints"), "no checkpoint"),
    "no best": (lambda workdir: [shutil.rmtree(path) for path in workdir.glob("checkpoints/[0-9]*")], "but missing"),
    "damaged checkpoint": (
        lambda workdir: [_flipped(f"checkpoints/{path.name}/state/**/*")(workdir) for path in _steps(workdir)],
        "SHA-256 differs",
    ),
    "no world": (_without("world"), "world/manifest.json: expected the file of this router .*, found none"),
    "no vectors": (_without("world/query_vectors.npy"), "query_vectors.npy: missing"),
    "damaged vectors": (_flipped("world/query_vectors.npy"), "query_vectors.npy: SHA-256 differs"),
    "damaged table": (_flipped("world/tables/*"), "SHA-256 differs"),
}


def _steps(workdir):
    return [path for path in (workdir / "checkpoints").iterdir() if path.name.isdigit()]


@pytest.mark.parametrize("name", DAMAGES)
def test_what_is_missing_or_damaged_is_an_error(workdir, name):
    damage, found = DAMAGES[name]
    damage(workdir)
    with pytest.raises(ValueError, match=found) as caught:
        Router.load(workdir)
    assert "\n" not in str(caught.value)


def test_a_workdir_of_several_seeds_says_so(workdir, tmp_path):
    (tmp_path / "many" / "seed_11").mkdir(parents=True)  # not begun
    shutil.copytree(workdir, tmp_path / "many" / "seed_10")
    workdir.rename(tmp_path / "many" / "seed_2")
    with pytest.raises(ValueError, match="it holds seed_2, seed_10: name one"):
        Router.load(tmp_path / "many")
    assert Router.load(tmp_path / "many" / "seed_2").score(["u00"], [TEXT]).error == [None]


# ---- Serving what was judged.


def test_evaluation_and_serving_agree(router, experiment, experiment_workdir):
    dataset = prepare_dataset(read_source(experiment.data), experiment.data, experiment.seed)
    data, run = dataset.data, make_run(experiment, dataset)
    state = restore_best(experiment, run.network, experiment_workdir)
    scorer = run_scorer(run, state.params, dataset)
    for part in ("test", "train"):  # queries never seen, and known ones
        decisions = dataset.labelled(part).decisions
        found = score_decisions(scorer, dataset, decisions)
        logits = np.where(decisions.offered, found * float(state.temperature), -np.inf)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        shares /= shares.sum(1, keepdims=True)
        asked = {
            "test": {
                "queries": data.queries.texts[decisions.query].tolist(),
                "task_ids": data.tasks.ids[data.queries.task[decisions.query]].tolist(),
            },
            "train": {"query_ids": data.queries.ids[decisions.query].tolist()},
        }[part]
        served = router.score(
            data.users.ids[decisions.user].tolist(),
            candidates=[data.llms.ids[offered].tolist() for offered in decisions.offered],
            **asked,
        )
        assert served.error == [None] * len(decisions.user)
        np.testing.assert_allclose(np.nan_to_num(_table(served, router.llms)), shares, atol=1e-5)
        assert served.llm == data.llms.ids[choose(found, decisions.offered)].tolist()
        assert set(served.basis) == {"history"}
        assert len(set(served.llm)) > 2


# ---- Users that training never saw.


def test_an_unknown_user_gets_the_answer_for_nobody(router):
    scores = router.score(["u00", "somebody", "somebody else"], [TEXT] * 3)
    assert scores.basis == ["history", "cold_start", "cold_start"]
    known, *cold = scores.probabilities
    assert cold[0] == cold[1] != known


def test_a_new_user_with_the_history_of_a_known_one_gets_its_scores(router, tmp_path):
    """And the other way round: whose histories are swapped, their scores are."""
    rows = _history_of(router, "u03", "new u03") + _history_of(router, "u05", "new u05")
    assert len(rows) > 20
    grown = router.with_history(_write(tmp_path / "history.jsonl", rows))
    users = ["u03", "new u03", "u05", "new u05"]
    for asked in ({"queries": [TEXT] * 4}, {"query_ids": [router.world.interactions.queries.ids[3]] * 4}):
        table = _table(grown.score(users, **asked), router.llms)
        np.testing.assert_allclose(table[1], table[0], atol=1e-4)
        np.testing.assert_allclose(table[3], table[2], atol=1e-4)
        assert np.abs(table[2] - table[0]).max() > 1e-2
        assert grown.score(users, **asked).basis == ["history"] * 4


def test_opposite_histories_get_different_llms_and_nobody_else_is_touched(router, tmp_path):
    data = router.world.interactions
    mean_cost = [np.nanmean(data.outcomes.cost[data.outcomes.llm == llm]) for llm in range(len(router.llms))]
    cheap, dear = router.llms[int(np.argmin(mean_cost))], router.llms[int(np.argmax(mean_cost))]
    rows = [
        {"user_id": user, "query_id": query, "llm": llm, "candidates": f"{cheap}|{dear}"}
        for query in data.queries.ids[:20]
        for user, llm in (("A", cheap), ("B", dear))
    ]
    grown = router.with_history(_write(tmp_path / "history.jsonl", rows))
    assert grown.score(["A", "B"], [TEXT] * 2, candidates=[[cheap, dear]] * 2).llm == [cheap, dear]
    first, second = grown.score(["A", "B"], [TEXT] * 2).llm
    assert mean_cost[router.llms.index(first)] < mean_cost[router.llms.index(second)]
    swapped = [row | {"user_id": "AB"["BA".index(row["user_id"])]} for row in rows]
    other = router.with_history(_write(tmp_path / "swapped.jsonl", swapped))
    mine, theirs = (_table(r.score(["A", "B"], [TEXT] * 2), router.llms) for r in (grown, other))
    np.testing.assert_allclose(theirs[::-1], mine, atol=1e-5)
    everybody = [*router.world.interactions.users.ids, "nobody"]
    before, after = (r.score(everybody, [TEXT] * len(everybody)).probabilities for r in (router, grown))
    assert before == after
    assert router.score(["A"], [TEXT]).basis == ["cold_start"]


def test_ratings_are_a_history_too(router, tmp_path):
    queries = router.world.interactions.queries.ids[:10]
    liked = router.llms[2]
    rows = [
        {"user_id": "rater", "query_id": query, "llm": llm, "rating": 0.9 if llm == liked else 0.1}
        for query in queries
        for llm in router.llms
    ]
    grown = router.with_history(_write(tmp_path / "history.jsonl", rows))
    cold, rated = grown.score(["nobody", "rater"], [TEXT] * 2).probabilities
    assert rated[liked] > cold[liked] + 0.05


def test_a_history_of_texts_is_read_in_balance_with_the_population(router, tmp_path):
    """The weights maximise the prior times the served probabilities of the choices, each as `CHOICE_WEIGHT` of one."""
    llms, texts = router.llms, [f"Tell me more about the number {i}" for i in range(9)]
    choice = np.arange(9) % 3
    rows = [{"user_id": "new", "query": text, "llm": llms[i]} for text, i in zip(texts, choice, strict=True)]
    theta = router.with_history(_write(tmp_path / "history.jsonl", rows)).users[-1]
    population = router.trained.network.bind(router.trained.params).rounds.population()
    asked = router.scorer.ask(router.world.places(texts, np.full(9, -1)))

    def log_likelihood(theta):
        logits = router.scorer.logits(theta[None], asked, np.zeros(9, int), np.arange(9)).astype(np.float64)
        return (logits[np.arange(9), choice] - np.log(np.exp(logits).sum(1))).sum()

    steps = 0.01 * np.eye(len(theta), dtype=np.float32)
    push = np.array([(log_likelihood(theta + step) - log_likelihood(theta - step)) / 0.02 for step in steps])
    pull = population.precision @ (theta - population.mean)
    assert np.abs(pull).max() > 0.1
    np.testing.assert_allclose(CHOICE_WEIGHT * push, pull, rtol=0.02, atol=5e-3)


def test_histories_add_up(router, tmp_path):
    """In one file or in two, for a user that training knew or not, and before or after new LLMs."""
    liked = router.llms[-1]
    rows = [{"user_id": "u00", "query": f"What about {i}?", "llm": liked} for i in range(12)]
    rows += [row | {"user_id": "new"} for row in rows]
    whole = router.with_history(_write(tmp_path / "whole.jsonl", rows))
    first = router.with_history(_write(tmp_path / "first.jsonl", rows[::2]))
    second = first.with_history(_write(tmp_path / "second.jsonl", rows[1::2]))
    asked = (["u00", "new"], [TEXT] * 2)
    before, half, once, twice = (_table(r.score(*asked), router.llms) for r in (router, first, whole, second))
    np.testing.assert_allclose(twice, once, atol=1e-4)
    assert (before[:, -1] < half[:, -1]).all()
    assert (half[:, -1] < once[:, -1]).all()
    assert half[0, -1] < half[1, -1]  # what u00 said in training still counts
    _write(tmp_path / "llms" / "llms.jsonl", [{"llm": router.llms[0], "description": "just the same"}])
    after = whole.with_llms(tmp_path / "llms").score(["nobody", "new"], [TEXT] * 2)
    assert after.basis == ["cold_start", "history"]
    nobody, new = after.probabilities
    assert new[liked] > nobody[liked] + 1e-3


# ---- New LLMs and new prices.


def _priced(router, tmp_path, name, factor):
    table = router.interactions.llms
    row = list(table.ids).index(name)
    prices = {column: float(getattr(table, column)[row]) * factor for column in ("input_price", "output_price")}
    _write(tmp_path / "prices" / "llms.jsonl", [{"llm": name, **prices}])
    return router.with_llms(tmp_path / "prices")


def test_a_new_price_moves_costs_and_choices_without_retraining(router, tmp_path):
    users, name = list(router.world.interactions.users.ids), router.llms[1]
    dearer = _priced(router, tmp_path, name, 2.0)
    assert dearer.trained is router.trained
    asked = (users, [TEXT] * len(users))
    before, after = (np.array([p[name] for p in r.score(*asked).probabilities]) for r in (router, dearer))
    minds_cost = router.users[:, COST] < 0
    assert minds_cost.sum() > 2
    assert (after[minds_cost] < before[minds_cost]).all()
    assert (after[~minds_cost] > before[~minds_cost]).all()
    # the others only share what it lost or won
    others = [llm for llm in router.llms if llm != name]
    ratio = _table(dearer.score(*asked), others) / _table(router.score(*asked), others)
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-3)


def test_max_cost_is_in_dollars_of_today(router, tmp_path):
    data = router.world.interactions
    full = np.flatnonzero(np.bincount(data.outcomes.query) == len(router.llms))
    query = next(q for q in full if not np.isnan(data.outcomes.cost[data.outcomes.query == q]).any())
    at = data.outcomes.query == query
    cost = dict(zip(data.llms.ids[data.outcomes.llm[at]], data.outcomes.cost[at], strict=True))
    ordered = sorted(cost, key=cost.get)
    limit = float(cost[ordered[4]] * 1.001)

    def offered(some):
        scores = some.score(["u00", "u01"], query_ids=[data.queries.ids[query]] * 2, max_cost=limit)
        assert scores.error == [None, None]
        return set(scores.probabilities[0]), scores

    kept, scores = offered(router)
    assert kept == set(ordered[:5])
    assert [sum(row.values()) for row in scores.probabilities] == pytest.approx([1, 1])
    dearer, _ = offered(_priced(router, tmp_path, ordered[0], 1000))
    assert dearer == set(ordered[1:5])
    cheaper, _ = offered(_priced(router, tmp_path, ordered[5], 0.001))
    assert cheaper == set(ordered[:6])
    assert router.score(["u00"], query_ids=[data.queries.ids[query]], max_cost=1e-12).error == [
        "no candidate is expected to cost at most 1e-12 USD"
    ]


def test_a_price_given_twice_counts_once_and_can_be_taken_back(router, tmp_path):
    name, asked = router.llms[0], (["u00", "u01", "nobody"], [TEXT] * 3)
    dearer = _priced(router, tmp_path, name, 2.0)
    again = dearer.with_llms(tmp_path / "prices")
    np.testing.assert_allclose(_table(again.score(*asked), router.llms), _table(dearer.score(*asked), router.llms))
    back = _priced(dearer, tmp_path, name, 0.5)
    np.testing.assert_allclose(
        _table(back.score(*asked), router.llms), _table(router.score(*asked), router.llms), atol=1e-6
    )


def _outcomes(router, effect, cost):
    return [
        {"query_id": query, "llm": "newcomer", "effect": effect, "cost": cost}
        for query in router.world.interactions.queries.ids
    ]


def test_a_new_llm_that_is_better_and_cheaper_is_chosen(router, tmp_path):
    known, shares = router.world.interactions, []
    users, queries = (
        np.repeat(known.users.ids, 20).tolist(),
        np.tile(known.queries.ids[:20], len(known.users.ids)).tolist(),
    )
    _write(tmp_path / "llms" / "llms.jsonl", [{"llm": "newcomer", "description": "small and sharp"}])
    for effect, cost in ((1.0, 0.0), (0.0, float(known.outcomes.cost.max()))):
        _write(tmp_path / "llms" / "outcomes.jsonl", _outcomes(router, effect, cost))
        grown = router.with_llms(tmp_path / "llms")
        assert grown.llms == [*router.llms, "newcomer"]
        shares.append(_table(grown.score(users, query_ids=queries), grown.llms))
    better, worse = shares
    even = 1 / len(grown.llms)
    assert better[:, -1].mean() > 1.5 * even
    assert (better.argmax(1) == len(router.llms)).mean() > even
    assert (better[:, -1] > worse[:, -1]).all()
    assert (worse.argmax(1) != len(router.llms)).all()
    assert "newcomer" not in router.score(users[:1], [TEXT]).probabilities[0]


def test_a_new_llm_of_which_nothing_is_known_takes_part(router, tmp_path):
    _write(tmp_path / "llms" / "llms.jsonl", [{"llm": "newcomer"}])
    grown = router.with_llms(tmp_path / "llms")
    scores = grown.score(["u00", "nobody"], [TEXT] * 2)
    assert scores.error == [None, None]
    for row in scores.probabilities:
        assert 0 < row["newcomer"] < 1
        assert sum(row.values()) == pytest.approx(1)


def test_what_users_say_of_a_new_llm_counts(router, tmp_path):
    _write(tmp_path / "llms" / "llms.jsonl", [{"llm": "newcomer"}])
    data, user = router.world.interactions, "u04"
    plain = router.with_llms(tmp_path / "llms")
    free = np.flatnonzero(~np.isin(np.arange(len(data.queries.ids)), data.decisions.query[data.decisions.user == 4]))
    rows = [{"user_id": user, "query_id": data.queries.ids[query], "llm": "newcomer"} for query in free[:20]]
    _write(tmp_path / "llms" / "choices.jsonl", rows)
    praised = router.with_llms(tmp_path / "llms")
    asked = ([user, "u05"], [TEXT] * 2)
    before, after = (np.array([p["newcomer"] for p in r.score(*asked).probabilities]) for r in (plain, praised))
    assert after[0] > before[0] + 0.02
    assert after[0] - before[0] > after[1] - before[1]


def test_constraints_and_arguments_are_checked(router):
    with pytest.raises(ValueError, match=r"allow: expected LLMs among .* found nobody"):
        router.score(["u00"], [TEXT], allow=["nobody"])
    with pytest.raises(ValueError, match="max_cost: expected a cost in USD above 0, found -1"):
        router.score(["u00"], [TEXT], max_cost=-1)
    with pytest.raises(ValueError, match="query: expected 2 rows as in user_id, found 1"):
        router.score(["u00", "u01"], [TEXT])


# ---- With simulated users and vectors that come along, the same holds.


@pytest.mark.slow
def test_a_router_of_simulated_users_takes_in_a_stranger(experiment, tmp_path):
    """Users who share their queries are read in another layout than those who come one by one."""
    config = configuration.from_json(configuration.to_json(experiment))
    config.data.users, config.data.num_users = "multi_cost_efficiency", 5
    config.train.num_train_steps, config.train.eval_every_steps = 4, 2
    run_experiment(config, tmp_path / "run")
    router = Router.load(tmp_path / "run")
    users = router.world.interactions.users.ids.tolist()
    grown = router.with_history(_write(tmp_path / "h.jsonl", _history_of(router, users[1], "stranger")))
    table = _table(grown.score([users[1], "stranger", users[4]], [TEXT] * 3), router.llms)
    np.testing.assert_allclose(table[1], table[0], atol=1e-4)
    assert np.abs(table[2] - table[0]).max() > 1e-2


def test_the_digest_is_that_of_what_decides(router, experiment_workdir, tmp_path):
    again = Router.load(experiment_workdir)
    assert again.digest() == router.digest()
    row = {"user_id": "newcomer", "query": TEXT, "llm": router.llms[0]}
    told = router.with_history(_write(tmp_path / "history" / "h.jsonl", [row]))
    price = {"llm": router.llms[0], "description": "", "input_price": 5.0, "output_price": 7.0}
    dearer = router.with_llms(_write(tmp_path / "llms" / "llms.jsonl", [price]).parent)
    trained = dataclasses.replace(router.trained, temperature=router.trained.temperature + 0.1)
    others = [told, dearer, dataclasses.replace(router, trained=trained)]
    assert len({one.digest() for one in [router, *others]}) == 4


@pytest.mark.parametrize("cost", [0.0, 1e-30, 1e6])
@pytest.mark.parametrize("price", [0.0, 1e-300, 1e6])
def test_costs_and_prices_at_the_ends_of_their_ranges_give_finite_scores(router, tmp_path, cost, price):
    known = router.world.interactions.queries.ids[0]
    prices = {"input_price": price, "output_price": price}
    _write(tmp_path / "llms" / "llms.jsonl", [{"llm": "new", **prices}, {"llm": router.llms[0], **prices}])
    _write(tmp_path / "llms" / "outcomes.jsonl", [{"query_id": known, "llm": "new", "effect": 0.5, "cost": cost}])
    scores = router.with_llms(tmp_path / "llms").score(["u00", "somebody"], [TEXT] * 2)
    assert scores.error == [None, None]
    assert all(sum(shares.values()) == pytest.approx(1) for shares in scores.probabilities)


def test_states_that_are_not_finite_are_refused(router):
    users = router.users.copy()
    users[0, 0] = np.nan
    with pytest.raises(ValueError, match=r"^router: expected finite states of users, found others; costs, prices"):
        dataclasses.replace(router, users=users)
