"""Groups of equal keys: as NumPy finds them, but faster."""

import numpy as np
import pytest

from prouter_jax.data.distinct import sorted_distinct


@pytest.mark.parametrize("keys", [[], [5], [3, -1, 3, 7, -1, 0], list(range(9, 0, -1))])
def test_distinct_keys_come_in_order_with_the_place_of_each(keys):
    keys = np.array(keys, np.int64)
    expected, place = np.unique(keys, return_inverse=True)
    found, found_place = sorted_distinct(keys)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found_place, place)
