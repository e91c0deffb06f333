"""Pairs, ratings, choices and single thumbs, alone and mixed in one run: what users prefer is found in each."""

import dataclasses

import numpy as np
import pytest

from prouter_jax.data.batches import Batches
from prouter_jax.data.history_store import build_store
from prouter_jax.data.interactions import CHOICE, RATING, THUMB, Feedback, distinct_offers
from prouter_jax.data.rewards import build_decisions, build_rewards
from prouter_jax.data.tables.read_write import read_tables, write_tables
from prouter_jax.data.validation import validate
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.graph.build import build_graph
from prouter_jax.graph.history import batch_histories, read_histories, with_batch
from prouter_jax.metrics import choose, mean, values_of_selected
from prouter_jax.model.inference import score_decisions
from prouter_jax.training.loop import train
from prouter_jax.training.run import make_run, restore_best
from prouter_jax.training.validation import run_scorer

KINDS = ("choice", "pair", "rating", "thumb")


@pytest.fixture(scope="module")
def source(experiment):
    """A configuration, and its twelve users with their queries and LLMs."""
    return experiment, read_source(experiment.data)


def _likings(data, seed=0):
    """How much each user likes each answer, [users, queries, llms]: one LLM's by one more than the others'."""
    sizes = [len(table.ids) for table in (data.users, data.queries, data.llms)]
    favourite = np.arange(sizes[0]) % sizes[2]
    return np.eye(sizes[2])[favourite][:, None] + np.random.default_rng(seed).normal(0, 0.2, sizes)


def _told(source, kinds, seed=0):
    """The same decisions, of each of which users say what they think in a kind that comes by chance."""
    data, rng = source.interactions, np.random.default_rng(seed)
    liked = _likings(data)[data.decisions.user, data.decisions.query]
    number, llms = liked.shape
    offers, rows = np.ones((number, llms), bool), []
    for row, kind in enumerate(rng.choice(kinds, number)):
        shown = rng.permutation(llms)[:2]
        if kind == "choice":
            rows.append((row, CHOICE, liked[row].argmax(), 1))
        elif kind == "pair":
            offers[row] = np.isin(np.arange(llms), shown)
            rows.append((row, CHOICE, shown[liked[row, shown].argmax()], 1))
        elif kind == "rating":
            rows += [(row, RATING, llm, liked[row, llm]) for llm in shown]
        else:
            rows.append((row, THUMB, shown[0], liked[row, shown[0]] > 0.5))
    decision, what, llm, value = (np.array(column) for column in zip(*rows, strict=True))
    feedback = Feedback(decision.astype(np.int32), what.astype(np.int8), llm.astype(np.int32), value.astype(np.float32))
    first = np.full(number, -1, np.int32)
    decisions = dataclasses.replace(data.decisions, offer=np.arange(number, dtype=np.int32), first=first)
    told = data.replace(offers=offers, decisions=decisions, feedback=feedback)
    return dataclasses.replace(source, interactions=validate(distinct_offers(told)))


def _liked(config, source, workdir):
    """How much picks among all LLMs are liked on test decisions: the router's, the blind router's, the best."""
    dataset = prepare_dataset(source, config.data, 0)
    train(config, dataset, workdir)
    run = make_run(config, dataset)
    scorer = run_scorer(run, restore_best(config, run.network, workdir).params, dataset)
    decisions = dataset.labelled("test").decisions
    decisions = dataclasses.replace(decisions, offered=np.ones_like(decisions.offered))
    liked = _likings(dataset.data)[decisions.user, decisions.query]
    picks = [choose(score_decisions(scorer, dataset, decisions, blind), decisions.offered) for blind in (False, True)]
    return *(mean(values_of_selected(liked, picked)) for picked in picks), float(liked.max(1).mean())


@pytest.mark.parametrize("kinds", [(kind,) for kind in KINDS] + [KINDS], ids="+".join)
def test_planted_preferences_are_found_in_each_kind_and_in_all_together(source, tmp_path, kinds):
    router, blind, best = _liked(source[0], _told(source[1], kinds), tmp_path)
    assert blind < router <= best
    assert router - blind > 0.4 * (best - blind)


def test_the_kinds_of_one_run_are_as_they_were_said_in_graphs_and_batches(source):
    data = _told(source[1], KINDS).interactions
    decisions = build_decisions(data, np.arange(len(data.decisions.user)))
    assert all((np.bincount(data.feedback.kind) > 50).tolist())
    dataset = prepare_dataset(dataclasses.replace(source[1], interactions=data), source[0].data, 0)
    graph = build_graph(data, dataset.vectors, dataset.truth_scale, decisions)
    batches = Batches(build_store(data), np.arange(len(data.queries.ids)), 12, 32, 0)
    batch = batches.rows(0, 0, 12)
    for histories in (read_histories(graph), read_histories(with_batch(graph, batch, 1)), batch_histories(batch)):
        feedback = histories.feedback
        assert feedback.thumbed.sum() == (decisions.thumb >= 0).sum()
        assert (feedback.thumb * feedback.thumbed).sum() == (decisions.thumb > 0).sum()
        assert feedback.rated.sum() == (~np.isnan(decisions.rating)).sum()
        assert float((feedback.rating * feedback.rated).sum()) == pytest.approx(np.nansum(decisions.rating), rel=1e-4)
        assert feedback.target.sum() == pytest.approx(decisions.target.sum())


def test_thumbs_are_worth_one_and_nothing_where_no_preference_is_known(source):
    data = _told(source[1], ("thumb",)).interactions
    data = data.replace(users=dataclasses.replace(data.users, preference=np.full(12, np.nan)))
    decisions = build_decisions(data, np.arange(len(data.decisions.user)))
    rewards = build_rewards(data, prepare_dataset(source[1], source[0].data, 0).truth_scale, decisions)
    np.testing.assert_array_equal(np.isnan(rewards), decisions.thumb < 0)
    assert set(rewards[~np.isnan(rewards)]) == {0.0, 1.0}


def test_all_kinds_are_written_and_read(source, tmp_path):
    data = _told(source[1], KINDS).interactions
    write_tables(data, tmp_path)
    again = read_tables(tmp_path)
    for name, column in vars(data.feedback).items():
        np.testing.assert_array_equal(getattr(again.feedback, name), column)


TABLES = {
    "queries": "query_id,query\nq,Hello\nr,Bye\n",
    "llms": "llm\na\nb\nc\n",
    "thumbs": "user_id,query_id,llm,thumb,candidates\nu,q,a,1,\nu,r,b,0,a|b\n",
}


def test_a_table_of_thumbs_is_read(tmp_path):
    for name, text in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(text)
    data = read_tables(tmp_path)
    decisions = build_decisions(data, np.arange(2))
    np.testing.assert_array_equal(decisions.thumb, [[1, -1, -1], [-1, 0, -1]])
    np.testing.assert_array_equal(decisions.offered, [[True] * 3, [True, True, False]])


def test_a_thumb_is_up_or_down(tmp_path):
    for name, text in TABLES.items():
        (tmp_path / f"{name}.csv").write_text(text.replace("b,0", "b,2"))
    with pytest.raises(ValueError, match=r"thumbs\.csv, column thumb, row 1: expected 1 \(up\) or 0 \(down\), found 2"):
        read_tables(tmp_path)
