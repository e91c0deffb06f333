"""The state in a real PostgreSQL server: several services on it, each heeds the feedback that others got."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import pytest
from processes import run
from serve_cases import CountingRouter
from serve_load import check_nothing_is_lost_or_doubled

from prouter_jax.serving.service.databases import find_database
from prouter_jax.serving.service.decide import Options
from prouter_jax.serving.service.postgres import Postgres
from prouter_jax.serving.service.reload import repeating
from prouter_jax.serving.service.requests import FeedbackRequest, RouteRequest, UserRequest
from prouter_jax.serving.service.service import Service

psycopg = pytest.importorskip("psycopg", reason="needs the extra postgres")


def _program(name):
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="module")
def server():
    """The URL of a server; PostgreSQL does not run as root, so another user of the machine does.

    Its folder is not among pytest's, which are for one user alone.
    """
    if _program("initdb") is None:
        pytest.skip("needs PostgreSQL's server (Debian: apt-get install postgresql)")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if as_user:
            shutil.chown(folder, "postgres")
        made = run([*as_user, _program("initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust"], cwd="/")
        assert made.returncode == 0, made.stderr
        options = f"-c listen_addresses= -c unix_socket_directories={folder}"
        control = [*as_user, _program("pg_ctl"), "-D", str(folder / "data"), "-w"]
        begin = [*control, "-o", options, "-l", str(folder / "log"), "start"]
        subprocess.run(begin, check=True, cwd="/", stdout=sys.stderr)
        yield f"postgresql://postgres@/postgres?host={folder}"
        run([*control, "-m", "immediate", "stop"], cwd="/")


@pytest.fixture
def url(server):
    """The URL of an empty database."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS test WITH (FORCE)")
        connection.execute("CREATE DATABASE test")
    return server.replace("/postgres?", "/test?")


@pytest.fixture
def start(url):
    """Starts services on the database."""
    started = []

    def make(**options):
        database = find_database("workdir", url)
        service = Service(CountingRouter(), database.connect, Options(shared=database.shared, **options))
        started.append(service)
        return service

    yield make
    for service in started:
        service.close()


def _say(service, model, user="ann", **more):
    return service.feedback(user, FeedbackRequest(query="Hello", model=model, thumb="up", **more)).result()


def _said(service, user="ann"):
    return [one.llm for one in service.live.said.get(user, ())]


def test_feedback_decisions_and_settings_outlive_a_service(start):
    service = start()
    decision = service.route("ann", RouteRequest(query="Hello", session="s", candidates=["birch"])).decision
    service.feedback("ann", FeedbackRequest(decision_id=decision.decision_id, thumb="up")).result()
    service.set("ann", UserRequest(ban=["alder"])).result()
    service.close()
    other = start()
    assert _said(other) == ["birch"]
    assert other.settings("ann").ban == ("alder",)
    assert other.route("ann", RouteRequest(query="Hello", session="s")).reason in ("session", "best")
    assert other.history("ann").result()[0][0] == decision
    assert other.live.said["ann"][0].features == decision.features


def test_feedback_to_one_service_is_heeded_by_all(start):
    one, two = start(), start()
    _say(one, "cedar")
    _say(two, "birch")  # hears of cedar first
    assert _said(two) == ["cedar", "birch"]
    assert _said(one) == ["cedar"]
    one.heed()
    assert _said(one) == ["cedar", "birch"]
    with repeating(two.heed, 0.01), repeating(one.heed, 0.01):
        for number in range(20):
            _say((one, two)[number % 2], "alder", "bob")
    for service in (one, two):
        service.heed()
        assert len(_said(service, "bob")) == 20


def test_an_id_counts_once_in_all_services(start):
    one, two = start(), start()
    assert _say(one, "cedar", id="f1")["duplicate"] is False
    assert _say(two, "cedar", id="f1")["duplicate"] is True
    assert _said(one) == _said(two) == ["cedar"]


def test_transactions_of_services_wait_for_each_other(url):
    """So the numbers of feedback rise in the order of the commits, and none is overlooked."""
    one, two = Postgres(url), Postgres(url)
    two.execute("SET lock_timeout = 10")  # milliseconds
    one.execute("BEGIN")
    with pytest.raises(psycopg.errors.LockNotAvailable):
        two.execute("BEGIN")
    one.execute("COMMIT")
    two.execute("ROLLBACK")
    two.execute("BEGIN")
    for connection in (one, two):
        connection.close()


@pytest.mark.slow
def test_no_acknowledged_feedback_is_lost_or_counted_twice_in_20_kills(start, url):
    check_nothing_is_lost_or_doubled(start, url, 20, seed=2)


def test_deletion_and_settings_reach_all_services_and_leave_no_row(start, url):
    one, two = start(), start()
    for service in (one, two):
        _say(service, "cedar")
        _say(service, "cedar", "bob")
    one.heed()
    one.set("bob", UserRequest(pin="birch")).result()
    one.delete("ann").result()
    two.heed()
    assert (_said(two), _said(two, "bob"), two.settings("bob").pin) == ([], ["cedar", "cedar"], "birch")
    _say(two, "alder")
    one.heed()
    assert _said(one) == ["alder"]
    one.delete("ann").result()
    one._learner._clock = two._learner._clock = lambda: 1e12  # the minute is over in which others hear of it
    two.heed()
    one.heed()
    database = Postgres(url)
    for table in ("decisions", "feedback", "served", "users", "events"):
        assert database.execute(f"SELECT COUNT(*) FROM {table} WHERE user_id = ?", ("ann",)).fetchone() == (0,)
    database.close()


def test_a_lost_connection_loses_no_feedback_and_counts_none_twice(start, server):
    one, two = start(), start()
    _say(one, "cedar")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'test'")
    with pytest.raises(psycopg.OperationalError):
        _say(one, "birch", id="f2")
    assert not one.healthy
    assert _say(one, "birch", id="f2")["duplicate"] is False
    assert one.healthy
    with pytest.raises(psycopg.OperationalError):
        two.heed()
    two.heed()
    assert _said(one) == _said(two) == ["cedar", "birch"]


def test_after_a_long_silence_all_is_heard_anew(start):
    one, two = start(), start()
    _say(one, "cedar")
    _say(one, "cedar", "bob")
    two.heed()
    one.delete("ann").result()
    one._learner._clock = lambda: 1e12
    one.heed()  # the event of the deletion is gone
    _say(one, "birch", "bob")
    two._heeded -= 100
    two.heed()
    assert (_said(two), _said(two, "bob")) == ([], ["cedar", "birch"])


def test_what_is_no_database_is_told_without_the_password():
    with pytest.raises(ValueError, match="expected a PostgreSQL database, found none") as raised:
        Postgres("postgresql://me:secret@127.0.0.1:1/x")
    assert "secret" not in str(raised.value)
