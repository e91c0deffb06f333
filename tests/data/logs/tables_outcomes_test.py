"""Means of outcomes through files are means."""

import numpy as np

from prouter_jax.data.logs.tables import OutcomeMeans


def test_each_pair_has_the_mean_of_what_is_known():
    rng = np.random.default_rng(0)
    query, llm = rng.integers(0, 2**62, 50)[rng.integers(0, 50, 900)], rng.integers(0, 4, 900)
    values = rng.random((900, 3))
    values[rng.random((900, 3)) < 0.4] = np.nan
    with OutcomeMeans() as outcomes:
        for rows in np.array_split(np.arange(900), 7):
            outcomes.add(query[rows], llm[rows], values[rows])
        found = {
            (q, a): mean for ids, llms, means in outcomes.means() for q, a, mean in zip(ids, llms, means, strict=True)
        }
    told = ~np.isnan(values).all(1)
    assert set(found) == {(q, a) for q, a in zip(query[told], llm[told], strict=True)}
    for (q, a), mean in found.items():
        own = values[(query == q) & (llm == a)]
        expected = [np.mean(column[~np.isnan(column)]) if (~np.isnan(column)).any() else np.nan for column in own.T]
        np.testing.assert_allclose(mean, expected, rtol=1e-6)


def test_without_anything_known_there_is_no_pair():
    with OutcomeMeans() as outcomes:
        outcomes.add(np.array([1]), np.array([0]), np.full((1, 3), np.nan))
        assert list(outcomes.means()) == []
