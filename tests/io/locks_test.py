"""A lock has one holder, on a disk and in a bucket, and a killed process frees it."""

import os
import subprocess
import sys
import threading

import pytest
from bucket_server import Bucket

from prouter_jax.io import locks
from prouter_jax.io.locks import Busy, lock, lock_folder
from prouter_jax.io.paths import list_folder, make_path

_HOLD = """
import pathlib, sys, time
from prouter_jax.io.locks import lock
with lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture(params=["disk", "bucket"])
def place(request, tmp_path, monkeypatch):
    """Where a lock may lie; in the bucket it lives for a moment without renewal."""
    monkeypatch.setattr(locks, "_LIFETIME", 0.3)
    return make_path(request.getfixturevalue("bucket") + "/place") if request.param == "bucket" else tmp_path / "place"


def test_a_lock_has_one_holder_and_leaves_nothing(place):
    for _ in range(2):
        with lock(place / "a.lock"):
            assert len(list_folder(place)) == 1
            with pytest.raises(Busy, match=r"place: expected no other command .* one that runs \(a\.lock\)$"):
                lock(place / "a.lock").__enter__()
            with lock(place / "b.lock"):
                assert len(list_folder(place)) == 2
            assert len(list_folder(place)) == 1
        assert not place.exists()


def test_the_folder_stays_if_something_came(place):
    with lock_folder(place):
        (place / "a").write_bytes(b"x")
    assert [path.name for path in list_folder(place)] == ["a"]


def test_of_many_at_once_one_at_a_time_holds(place):
    barrier, inside, held, refused = threading.Barrier(4), [], [], []

    def work():
        barrier.wait()
        try:
            with lock(place / "a.lock"):
                inside.append(1)
                held.append(len(inside))
                inside.pop()
        except Busy:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(held) <= {1}
    assert len(held) + len(refused) == 4


def test_a_killed_process_frees_its_lock(tmp_path):
    path = tmp_path / "a.lock"
    process = subprocess.Popen([sys.executable, "-c", _HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert path.read_text().startswith(f"process {process.pid} on ")
        with pytest.raises(Busy), lock(path):
            pass
    finally:
        process.kill()
        process.communicate()
    with lock(path):
        assert path.read_text().startswith(f"process {os.getpid()} on ")
    assert not path.exists()


def test_an_object_that_nobody_renews_is_that_of_a_dead_process(bucket, monkeypatch):
    monkeypatch.setattr(locks, "_LIFETIME", 0.1)
    path = make_path(bucket) / "run" / ".lock"
    (path.parent / ".lock.3").write_bytes(b'{"owner": "process 1 on gone", "seconds": 0.1, "renewals": 7}')
    with lock(path):
        assert list(Bucket.store) == ["/bucket/run/.lock.4"]
    assert not Bucket.store


def test_of_two_that_find_a_dead_lock_one_is_refused(bucket, monkeypatch):
    """The other one comes between its look and its lock."""
    path = make_path(bucket) / "run" / ".lock"
    look = locks._numbers
    for other in (1, 2):
        looks = iter([lambda path: []])

        def numbers(path, looks=looks, other=other):
            found = next(looks, look)(path)
            if not found:
                path.with_name(f".lock.{other}").write_bytes(b"{}")
            return found

        monkeypatch.setattr(locks, "_numbers", numbers)
        with pytest.raises(Busy):
            lock(path).__enter__()
        assert list(Bucket.store) == [f"/bucket/run/.lock.{other}"]
        Bucket.store.clear()


def test_a_planted_link_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "a.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match=r"a\.lock"):
        lock(tmp_path / "a.lock").__enter__()
    assert (tmp_path / "victim").read_text() == "precious"
    assert os.readlink(tmp_path / "a.lock") == str(tmp_path / "victim")
