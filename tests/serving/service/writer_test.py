"""Group commit: results are durable, operations are undone alone, a lost transaction leaves nothing behind."""

import sqlite3
import threading

import pytest

from prouter_jax.serving.service.writer import Closed, Writer


class Database(sqlite3.Connection):
    """Counts its transactions; its next commit fails if that is asked."""

    commits, fail = 0, False

    def execute(self, sql, parameters=()):
        if sql == "COMMIT":
            type(self).commits += 1
            if type(self).fail:
                type(self).fail = False
                raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, parameters)


@pytest.fixture
def connect(tmp_path):
    def make():
        options = {"isolation_level": None, "check_same_thread": False, "factory": Database}
        connection = sqlite3.connect(tmp_path / "state.sqlite", **options)
        connection.execute("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY)")
        return connection

    Database.commits, Database.fail = 0, False
    return make


def _insert(number):
    return lambda database: database.execute("INSERT INTO numbers VALUES (?)", (number,)).lastrowid


def _numbers(database):
    return [number for (number,) in database.execute("SELECT number FROM numbers ORDER BY number")]


def test_a_result_is_given_once_it_is_durable(connect):
    writer = Writer(connect)
    assert writer.submit(_insert(7)).result() == 7
    assert _numbers(connect()) == [7]
    writer.close()
    with pytest.raises(Closed):
        writer.submit(_insert(8))


def test_operations_that_wait_share_a_transaction(connect):
    writer, go = Writer(connect), threading.Event()
    first = writer.submit(lambda _: go.wait())
    while not writer._queue.empty():  # the writer has begun with the first
        pass
    futures = [writer.submit(_insert(number)) for number in range(100)]
    go.set()
    assert [future.result() for future in futures] == list(range(100))
    assert first.result()
    assert Database.commits == 2
    writer.close()


def test_an_operation_that_fails_is_undone_alone(connect):
    writer = Writer(connect)

    def half(database):
        database.execute("INSERT INTO numbers VALUES (1)")
        raise ValueError("no")

    futures = [writer.submit(operation) for operation in (_insert(0), half, _insert(2))]
    with pytest.raises(ValueError, match="no"):
        futures[1].result()
    futures[2].result()
    assert writer.submit(_numbers).result() == [0, 2]
    assert not writer.failed
    writer.close()


def test_a_lost_transaction_is_told_to_all_of_it_and_the_next_one_works(connect):
    lost = []
    writer = Writer(connect, lambda database: lost.append(_numbers(database)))
    writer.submit(_insert(0)).result()
    Database.fail = True
    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        writer.submit(_insert(1)).result()
    assert lost == [[0]]
    assert writer.failed
    writer.submit(_insert(2)).result()
    assert not writer.failed
    assert writer.submit(_numbers).result() == [0, 2]
    writer.close()


def test_what_is_queued_is_written_before_the_end(connect):
    writer = Writer(connect)
    futures = [writer.submit(_insert(number)) for number in range(1000)]
    writer.close()
    assert all(future.done() for future in futures)
    assert len(_numbers(connect())) == 1000


def test_a_step_after_a_commit_runs_again_until_it_is_done(connect):
    writer, steps = Writer(connect), []

    def operation(database):
        writer.after_commit(lambda database: steps.append(_numbers(database)) or len(steps) > 1)
        return _insert(5)(database)

    writer.submit(operation).result()
    assert steps == [[5]]
    writer.submit(_insert(6)).result()
    writer.submit(_insert(7)).result()
    assert steps == [[5], [5, 6]]
    writer.close()
