"""Arrays on disk are whole, or the error of the disk is told."""

import os
import resource
import signal

import numpy as np
import pytest

from prouter_jax.io.arrays import write_array


def test_an_array_that_cannot_be_written_to_its_end_is_no_array(tmp_path):
    """NumPy by itself loses the error: it writes by C's stdio."""
    write_array(tmp_path / "a.npy", np.arange(6.0))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.arange(6.0), strict=True)
    handler, limits = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (128, limits[1]))  # room for the head of the file
        with pytest.raises(OSError, match="too large"):
            write_array(tmp_path / "a.npy", np.zeros(6))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.arange(6.0), strict=True)
    assert os.listdir(tmp_path) == ["a.npy"]
