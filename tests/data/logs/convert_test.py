"""From log files to tables: what comes out is what went in, in any format, or one line and nothing at all."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from log_files import ROW, made_up_rows, write_log

from prouter_jax.data.interactions import THUMB
from prouter_jax.data.logs import columnar
from prouter_jax.data.logs.convert import Options, convert_log, examine_log
from prouter_jax.data.logs.fields import parse_columns
from prouter_jax.data.logs.tables import read_logged
from prouter_jax.data.tables.read_write import read_tables
from prouter_jax.data.tables.unfinished import mark_unfinished
from prouter_jax.io.locks import lock_folder


def _convert(tmp_path, rows, **options):
    """Counts, interactions, and what was logged."""
    counts = convert_log([write_log(tmp_path / "log.jsonl", rows)], tmp_path / "out", Options(**options))
    data = read_tables(tmp_path / "out")
    return counts, data, read_logged(tmp_path / "out", data)


def test_each_request_is_a_decision_of_which_one_answer_was_seen(tmp_path):
    rows = made_up_rows(300)
    counts, data, logged = _convert(tmp_path, rows)
    assert (counts.rows, counts.kept, counts.judged, counts.told, counts.llms) == (300, 300, 300, 300, 3)
    decisions, feedback = data.decisions, data.feedback
    for number, row in enumerate(rows):
        at = decisions.ids.tolist().index(str(number))
        assert data.users.ids[decisions.user[at]] == row["user_id"]
        assert data.queries.texts[decisions.query[at]] == row["messages"][0]["content"]
        assert data.tasks.ids[data.queries.task[decisions.query[at]]] == row["task"]
        assert data.llms.ids[logged.served[at]] == row["model"]
        assert decisions.time[at] == row["time"]
        assert logged.propensity[at] == row["propensity"]
        assert logged.reward[at] == (row["thumb"] == "up")
    assert data.offers[decisions.offer].all()
    assert (feedback.kind == THUMB).all()
    np.testing.assert_array_equal(np.bincount(feedback.decision), np.ones(300))
    np.testing.assert_array_equal(feedback.llm, logged.served[feedback.decision])
    assert len(set(data.queries.texts)) == len(data.queries.texts) == counts.queries


def test_outcomes_are_means_of_what_was_measured(tmp_path):
    rows = [ROW | {"cost": 1.0, "output_tokens": 4}, ROW | {"cost": 2.0}, ROW | {"model": "b"}]
    _, data, _ = _convert(tmp_path, rows)
    outcomes = data.outcomes
    assert [data.llms.ids[llm] for llm in outcomes.llm] == ["a"]
    assert (outcomes.cost.tolist(), outcomes.output_tokens.tolist()) == ([1.5], [4.0])
    assert np.isnan(outcomes.effect).all()


def test_without_candidates_any_llm_of_the_log_was_on_offer(tmp_path):
    rows = [ROW | {"candidates": None}, ROW, ROW | {"model": "c", "candidates": ["c", "d"]}]
    _, data, _ = _convert(tmp_path, rows)
    offered = [{str(llm) for llm in data.llms.ids[data.offers[offer]]} for offer in data.decisions.offer]
    assert offered == [{"a", "b", "c", "d"}, {"a", "b"}, {"c", "d"}]


def test_a_log_in_parquet_in_small_pieces_is_the_same(tmp_path, monkeypatch):
    rows = made_up_rows(200)
    _, data, logged = _convert(tmp_path, rows)
    monkeypatch.setattr(columnar, "_ROWS_AT_ONCE", 17)
    monkeypatch.setattr(columnar, "_MOST_ROWS", 16)
    pq.write_table(pa.Table.from_pylist(rows[:150]), tmp_path / "log.parquet")
    rest = write_log(tmp_path / "rest.jsonl", rows[150:])
    convert_log([tmp_path / "log.parquet", rest], tmp_path / "again", Options())
    again = read_tables(tmp_path / "again")
    for table in ("users", "queries", "llms", "decisions", "feedback"):
        for one, other in zip(vars(getattr(data, table)).values(), vars(getattr(again, table)).values(), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(read_logged(tmp_path / "again", again).reward, logged.reward)


def test_users_are_hashed_everywhere(tmp_path):
    rows = made_up_rows(50)
    _, data, _ = _convert(tmp_path, rows, hash_key=b"0123456789abcdef")
    assert len(data.users.ids) == len({row["user_id"] for row in rows})
    for path in (tmp_path / "out").iterdir():
        assert b"user1" not in path.read_bytes()
        assert b"0123456789abcdef" not in path.read_bytes()
    assert "0123456789abcdef" not in repr(Options(hash_key=b"0123456789abcdef"))


def test_near_queries_are_one(tmp_path):
    texts = ["Write a poem about the sea.", "What is 2 + 2?", "Write a poem about the sea!", "What is 2 + 3?"]
    counts, data, _ = _convert(tmp_path, [ROW | {"prompt": text} for text in texts], merge_near=0.9)
    assert counts.queries == 3
    asked = data.queries.texts[data.decisions.query]
    assert asked.tolist() == [texts[0], texts[1], texts[0], texts[3]]


def test_drops_are_counted_and_written(tmp_path):
    rows = [ROW, "{", ROW | {"user": None}, ROW | {"cost": -1}, ROW | {"user": ""}]
    counts, data, _ = _convert(tmp_path, rows)
    assert (counts.rows, counts.kept) == (5, 1)
    assert counts.dropped == {"not a JSON object": 1, "no user": 2, "cost below 0": 1}
    assert json.loads((tmp_path / "out" / "log.json").read_text())["dropped"] == counts.dropped
    assert len(data.decisions.ids) == 1
    assert not len(data.feedback.llm)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [ROW | {"user": None}] * 2,
            r"expected a row that can be used, found none \(2 no user; first: .*log.jsonl, line 1\)",
        ),
        ([ROW | {"rating": 3}, ROW | {"rating": 4}], "found 3 to 4; set --rating_range=LOW:HIGH"),
        ([ROW | {"thumb": 1}], "set --thumbs=UP:DOWN"),
        (["text"], "expected JSON objects, one in each line"),
    ],
)
def test_where_nothing_can_be_made_nothing_is_written(tmp_path, rows, message):
    path = write_log(tmp_path / "log.jsonl", rows)
    with pytest.raises(ValueError, match=message):
        convert_log([path], tmp_path / "out", Options())
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_tables_stays_as_it_is(tmp_path):
    path = write_log(tmp_path / "log.jsonl", [ROW])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "choices.csv").write_text("x")
    with pytest.raises(ValueError, match=r"found choices.csv"):
        convert_log([path], tmp_path / "out", Options())
    assert [found.name for found in (tmp_path / "out").iterdir()] == ["choices.csv"]


def test_a_second_log_does_not_replace_the_tables_of_the_first(tmp_path):
    out, first, second = tmp_path / "out", *(tmp_path / f"{name}.jsonl" for name in "ab")
    convert_log([write_log(first, [ROW])], out, Options())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ValueError, match=r"out: expected a folder without tables, found decisions\.parquet"):
        convert_log([write_log(second, [ROW, ROW | {"user": "another"}])], out, Options())
    with lock_folder(tmp_path / "busy"), pytest.raises(ValueError, match="busy: expected no other command"):
        convert_log([first], tmp_path / "busy", Options())
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_a_killed_conversion_left_is_written_again(tmp_path):
    out, path = tmp_path / "out", write_log(tmp_path / "log.jsonl", [ROW])
    convert_log([path], out, Options())
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for name in ("decisions.parquet", "log.json"):
        (out / name).unlink()
    mark_unfinished(out)
    (out / "choices.csv").write_text("")  # not what it writes
    with pytest.raises(ValueError, match=r"expected no tables but those to be written, found choices\.csv"):
        convert_log([path], out, Options())
    (out / "choices.csv").unlink()
    with pytest.raises(ValueError, match=r"expected all tables, found those of a conversion that was stopped"):
        read_tables(out)
    convert_log([path], out, Options())
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_progress_tells_how_much_is_done(tmp_path):
    said = []
    path = write_log(tmp_path / "log.jsonl", made_up_rows(20))
    convert_log([path, path], tmp_path / "out", Options(merge_near=0.9), lambda *done: said.append(done))
    shares = [share for _, share in said]
    assert shares == sorted(shares)
    assert (said[-1], shares[0] < 0.3) == ((40, 1.0), True)


def _rewards(tmp_path, rows, **options):
    """The reward of each row, by the kind of its feedback."""
    _, data, logged = _convert(tmp_path, rows, **options)
    order = np.argsort(data.decisions.ids.astype(int))
    return logged.reward[order].tolist()


def test_a_thumb_of_0_is_down_as_in_the_table_of_thumbs(tmp_path):
    assert _rewards(tmp_path, [ROW | {"thumb": 0}, ROW | {"thumb": 1}]) == [0, 1]


def test_one_coding_counts_for_the_whole_log_whatever_the_order(tmp_path):
    rows = [ROW | {"thumb": 0} for _ in range(3)] + [ROW, ROW | {"thumb": -1}, ROW | {"thumb": 1}]
    np.testing.assert_array_equal(_rewards(tmp_path, rows), [np.nan] * 4 + [0, 1])


def test_ratings_go_before_thumbs_and_are_brought_to_the_unit_range(tmp_path):
    rows = [ROW | {"rating": 4, "thumb": "down"}, ROW | {"thumb": "up"}, ROW | {"rating": 1}, ROW | {"rating": 5}]
    assert _rewards(tmp_path, rows) == [0.75, 1, 0, 1]
    (tmp_path / "b").mkdir()
    assert _rewards(tmp_path / "b", rows, rating_range=(0, 10)) == [0.4, 1, 0.1, 0.5]


def test_latencies_are_seconds(tmp_path):
    first = write_log(tmp_path / "ms.jsonl", [ROW | {"latency": 1200}, ROW | {"latency": 90}, ROW | {"latency": 700}])
    second = write_log(tmp_path / "s.jsonl", [ROW | {"latency": 1.5}, ROW | {"latency": 200}, ROW | {"latency": 3}])
    third = write_log(tmp_path / "named.jsonl", [ROW | {"latency_ms": 20}])
    columns = parse_columns("") | {"latency": ("latency", "latency_ms")}
    counts = convert_log([first, second, third], tmp_path / "out", Options(columns=columns))
    data = read_tables(tmp_path / "out")
    order = np.argsort(data.decisions.ids.astype(int))
    np.testing.assert_allclose(read_logged(tmp_path / "out", data).latency[order], [1.2, 0.09, 0.7, 1.5, 200, 3, 0.02])
    assert counts.coding["latency"] == f"milliseconds in {first}"


def test_one_user_with_most_of_a_large_log_is_asked_for(tmp_path):
    rows = made_up_rows(150) + [row | {"user_id": "default"} for row in made_up_rows(200)]
    with pytest.raises(ValueError, match=r"column user_id: .* 'default' in 200 of 350 rows; set --columns=user=COLUMN"):
        _convert(tmp_path, rows)
    assert not (tmp_path / "out").exists()
    counts, _, _ = _convert(tmp_path, rows, columns=parse_columns("user=user_id"), named=("user",))
    assert counts.most_of_a_user == 200
    (tmp_path / "few").mkdir()
    assert _convert(tmp_path / "few", [ROW] * 50)[0].most_of_a_user == 50


def test_a_named_column_that_is_nowhere_is_an_error_with_the_nearest_names(tmp_path):
    path = write_log(tmp_path / "log.jsonl", [ROW | {"thumbs_up": None, "meta": {"cost_usd": 1}}])
    for named, found in (("thumb=thumb_up", "thumbs_up"), ("cost=metadata.cost_usd", "meta.cost_usd")):
        options = Options(columns=parse_columns(named), named=(named.partition("=")[0],))
        with pytest.raises(ValueError, match=f"columns, {named}: expected this column in the log, found {found}"):
            convert_log([path], tmp_path / "out", options)
    options = Options(columns=parse_columns("cost=meta.cost_usd,thumb=thumbs_up"), named=("cost", "thumb"))
    assert convert_log([path], tmp_path / "out", options).totals["cost"] == 1


def test_strict_stops_at_the_first_row_that_cannot_be_used(tmp_path):
    for row, reason in (({"cost": -1}, "cost below 0"), ({"user": {}}, "user not readable")):
        with pytest.raises(ValueError, match=f"log .*log.jsonl, line 3: {reason}; without --strict"):
            _convert(tmp_path, [ROW, ROW, ROW | row, ROW | {"cost": -2}], strict=True)
    with pytest.raises(ValueError, match="expected thumbs of known meaning, found maybe"):
        _convert(tmp_path, [ROW | {"thumb": thumb} for thumb in ("up", "down", "maybe")], strict=True)


def test_the_counts_say_what_is_in_a_log(tmp_path):
    rows = [*made_up_rows(100), ROW | {"thumb": "maybe", "input_tokens": 5, "output_tokens": 7, "time": 500}]
    counts, data, _ = _convert(tmp_path, rows)
    assert (counts.users, counts.up + counts.down, counts.rated) == (len(data.users.ids), 100, 0)
    assert counts.totals == {
        "cost": pytest.approx(sum(row.get("cost", 0) for row in rows)),
        "input_tokens": 5,
        "output_tokens": 7,
    }
    assert counts.measured == {"cost": 100, "input_tokens": 1, "output_tokens": 1}
    assert (counts.time, counts.left_out) == ((500, 1099), {"maybe": 1})
    assert counts.columns["user"] == ["user", "user_id"]
    assert json.loads((tmp_path / "out" / "log.json").read_text())["up"] == counts.up


def test_a_look_at_a_log_counts_as_its_conversion_and_writes_nothing(tmp_path):
    rows = [*made_up_rows(60), "{", ROW | {"cost": -1}]
    seen, table = examine_log([write_log(tmp_path / "look.jsonl", rows)], Options())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["look.jsonl"]
    counts, _, _ = _convert(tmp_path, rows)
    places = dict.fromkeys(counts.first_dropped)
    assert vars(seen) | {"first_dropped": places} == vars(counts) | {"first_dropped": places}
    assert f"| {rows[0]['messages'][0]['content']} |" in table
    assert len(table.splitlines()) == 2 + len(counts.columns)


def test_a_look_at_a_log_shows_no_secret_that_is_masked(tmp_path):
    secret = "ann@example.org"
    rows = [{"user": secret, "prompt": f"Write to {secret}", "model": "a"}]
    path = write_log(tmp_path / "log.jsonl", rows)
    assert secret in examine_log([path], Options())[1].replace("\\", "")
    assert secret not in examine_log([path], Options(mask=True))[1].replace("\\", "")
