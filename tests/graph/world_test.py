"""A world on disk is the world that was saved, or an error."""

import dataclasses

import jax
import numpy as np
import pytest

from prouter_jax.data.interactions import strings
from prouter_jax.data.style_features import with_answer_style
from prouter_jax.dataset import prepare_dataset, read_source
from prouter_jax.graph.world import load_world, save_world


@pytest.fixture
def worlds(dataset, shared_dataset, tiny_config):
    tiny_config.data.split = "warm_query"
    warm = prepare_dataset(read_source(tiny_config.data), tiny_config.data, 0)
    return [dataset.world, shared_dataset.world, warm.world]


def test_a_world_comes_back_as_it_was(worlds, tmp_path, bucket):
    for number, (world, place) in enumerate(zip(worlds, (tmp_path, tmp_path.as_uri(), bucket), strict=True)):
        save_world(world, f"{place}/{number}")
        loaded = load_world(f"{place}/{number}")
        assert loaded.digest() == world.digest()
        assert loaded.encoder == world.encoder
        for table in ("users", "tasks", "queries", "llms", "outcomes", "decisions", "feedback"):
            before, after = (vars(getattr(w.interactions, table)) for w in (world, loaded))
            for column, values in before.items():
                if values is not None:
                    np.testing.assert_array_equal(after[column], values, err_msg=f"{table}.{column}")
        before, after = world.build_graph(), loaded.build_graph()
        assert before.layout == after.layout
        jax.tree.map(np.testing.assert_array_equal, before, after)


def test_the_graph_of_one_user_has_the_sizes_that_reading_depends_on(worlds):
    for world in worlds:
        whole, one = world.build_graph().layout, world.build_graph_of_one_user().layout
        if whole.shared_queries:
            assert one == whole
            continue
        assert one.users == 1
        assert one.edge_range("history").stop - one.edge_range("history").start < 200
        for name in ("task", "query", "llm"):
            assert one.num(name) == whole.num(name)
        for name in ("decisions", "shared_queries", "has_ratings", "has_thumbs", "has_sides", "shards"):
            assert getattr(one, name) == getattr(whole, name), name


def test_the_digest_tells_worlds_apart(worlds):
    assert len({world.digest() for world in worlds}) == 3
    data = worlds[0].interactions
    effect = data.outcomes.effect.copy()
    effect[3] += 0.01
    other = data.replace(outcomes=dataclasses.replace(data.outcomes, effect=effect))
    assert dataclasses.replace(worlds[0], interactions=other).digest() != worlds[0].digest()


@pytest.fixture
def told(dataset):
    """A world whose answers have texts and a style."""
    data = dataset.world.interactions
    response = strings([f"Answer {row}." for row in range(len(data.outcomes.query))])
    outcomes = dataclasses.replace(data.outcomes, response=response, style=None)
    return dataclasses.replace(dataset.world, interactions=with_answer_style(data.replace(outcomes=outcomes)))


def test_the_style_of_answers_is_kept_and_their_texts_are_not(told, tmp_path):
    save_world(told, tmp_path)
    loaded = load_world(tmp_path)
    assert loaded.interactions.outcomes.response is None
    np.testing.assert_array_equal(loaded.interactions.outcomes.style, told.interactions.outcomes.style, strict=True)
    assert loaded.digest() == told.digest()


def test_the_digest_knows_style_and_sides_but_no_texts(told):
    def digest(table, **columns):
        data = told.interactions
        changed = data.replace(**{table: dataclasses.replace(getattr(data, table), **columns)})
        return dataclasses.replace(told, interactions=changed).digest()

    data = told.interactions
    first = data.offers[data.decisions.offer].argmax(1).astype(np.int32)
    assert digest("outcomes", response=None) == told.digest()
    assert len({told.digest(), digest("outcomes", style=None), digest("decisions", first=first)}) == 3


def test_a_flipped_byte_or_a_missing_file_is_an_error(dataset, tmp_path):
    save_world(dataset.world, tmp_path)
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert len(paths) > 10
    for path in paths:
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=path.name):
            load_world(tmp_path)
        path.unlink()
        with pytest.raises(ValueError, match=path.name):
            load_world(tmp_path)
        path.write_bytes(content)
    load_world(tmp_path)
