"""Query sets: queries and references from the published files to one table."""

import json

import pyarrow.parquet as pq
import pytest
from public_files import ALPACA, GSM8K, MULTI_NEWS, SQUAD, SQUAD_ROWS, write_json
from table_files import write_rows

from prouter_jax.config import QUERY_SETS
from prouter_jax.data.public import query_sets
from prouter_jax.data.public.query_sets import FORMATS, write_query_set

CONTEXT = SQUAD_ROWS[0]["context"]


def _rows(tmp_path, name, path, **options):
    done = write_query_set(name, path, tmp_path / "queries.parquet", **options)
    table = pq.read_table(tmp_path / "queries.parquet")
    assert table.column_names == ["query_id", "query", "task_id", "reference", "metric", "choices"]
    assert done["written"] == table.num_rows
    return [tuple(row.values())[:5] for row in table.to_pylist()], done["dropped"]


def test_the_formats_are_those_of_the_flag():
    assert tuple(FORMATS) == QUERY_SETS


def test_alpaca(tmp_path):
    rows, dropped = _rows(tmp_path, "alpaca", write_json(tmp_path / "alpaca_data.json", ALPACA))
    assert rows == [
        ("alpaca-0", "Give three tips.", "alpaca", "1. Eat\n2. Sleep", "judge"),
        ("alpaca-1", "Name the odd one.\n\nTwitter, Instagram, Telegram", "alpaca", '["[Telegram]"]', "judge"),
    ]
    assert not dropped


def test_gsm8k(tmp_path):
    rows, dropped = _rows(tmp_path, "gsm8k", write_rows(tmp_path / "train.jsonl", GSM8K))
    assert rows == [
        ("gsm8k-0", GSM8K[0]["question"], "gsm8k", "72", "number_at_end"),
        ("gsm8k-1", "A big one?", "gsm8k", "1,234", "number_at_end"),
    ]
    assert dropped == {"questions without an answer after ####": 1}


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_squad(tmp_path, form):
    if form == "json":
        path = write_json(tmp_path / "dev-v1.1.json", SQUAD)
    else:
        path = write_rows(tmp_path / "validation.parquet", SQUAD_ROWS)
    rows, dropped = _rows(tmp_path, "squad", path)
    several = json.dumps(["the Virgin Mary", "Virgin Mary"])
    assert rows == [
        ("5733a", f"{CONTEXT}\n\nOf whom?", "squad", several, "token_f1"),
        ("5733b", f"{CONTEXT}\n\nOf what?", "squad", "gold", "token_f1"),
    ]
    assert dropped == {"questions without an answer": 1}


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_multi_news(tmp_path, name):
    path = write_rows(tmp_path / name, MULTI_NEWS)
    rows, dropped = _rows(tmp_path, "multi_news", path)
    text = "Summarise these news reports in one text.\n\n{}"
    assert rows == [
        ("multi_news-0", text.format("First report.\n\nSecond\nreport."), "multi_news", "Two reports.", "rouge_l"),
        ("multi_news-2", text.format("Only one."), "multi_news", "One.", "rouge_l"),
    ]
    assert dropped == {"records without a document or a summary": 1}


def test_named_columns(tmp_path):
    records = [{"prompt": "1+1?", "gold": 2, "kind": "sums"}, {"prompt": "", "gold": 3, "kind": "sums"}]
    columns = {"query": "prompt", "reference": "gold", "task_id": "kind"}
    for name in ("a.csv", "a.jsonl", "a.parquet"):
        rows, dropped = _rows(tmp_path, "columns", write_rows(tmp_path / name, records), columns=columns)
        assert rows == [("a-0", "1+1?", "sums", "2", "")]
        assert dropped == {"records without a query": 1}
    lists = [{"query_id": 5, "query": "Who?", "reference": ["A", "B"], "metric": "token_f1"}] * 2
    rows, dropped = _rows(tmp_path, "columns", write_rows(tmp_path / "b.jsonl", lists))
    assert rows == [("5", "Who?", "", '["A", "B"]', "token_f1")]
    assert dropped == {"queries of an id that came before": 1}


def test_choices_and_numbers_are_texts(tmp_path):
    records = [{"query": "Which?", "reference": "B", "choices": ["one", "two"]}, {"query": "Half?", "reference": 0.5}]
    write_query_set("columns", write_rows(tmp_path / "a.jsonl", records), tmp_path / "queries.parquet")
    table = pq.read_table(tmp_path / "queries.parquet")
    assert table["choices"].to_pylist() == ['["one", "two"]', ""]
    assert table["reference"].to_pylist() == ["B", "0.5"]


def test_a_draw_is_the_same_again_and_keeps_the_order(tmp_path):
    path = write_rows(tmp_path / "a.jsonl", [{"query": f"{n}?"} for n in range(100)])
    drawn = [
        [int(row[1][:-1]) for row in _rows(tmp_path, "columns", path, most=10, seed=seed)[0]] for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert len(set(drawn[0])) == 10
    assert drawn[0] != drawn[2]
    assert max(drawn[0]) > 20
    assert len(_rows(tmp_path, "columns", path, most=1000)[0]) == 100


def test_each_query_is_drawn_as_often():
    times = [0] * 4
    for seed in range(200):
        for number in query_sets._sample(iter(range(4)), 2, seed):
            times[number] += 1
    assert all(abs(number - 100) < 4 * 50**0.5 for number in times)


@pytest.mark.parametrize(
    ("name", "records", "columns", "message"),
    [
        ("gsm8k", [{"question": "Hi", "answer": 3}], {}, "table a.jsonl, column answer, row 0: expected a text"),
        (
            "gsm8k",
            [{"question": "Hi", "answer": "3"}],
            {},
            "table a.jsonl: expected a query, found 1 questions without",
        ),
        ("columns", [{"query": 5}], {}, "table a.jsonl, column query, row 0: expected a text, found 5"),
        ("columns", [{"query": "x", "reference": [1]}], {}, "table a.jsonl, column reference, row 0: expected a text"),
        ("columns", [{"query": "x"}], {"prompt": "query"}, "columns: expected names among query_id, .* found 'prompt'"),
        (
            "squad",
            [{"id": 1, "context": "x", "question": "y"}],
            {},
            "table a.jsonl, column answers, row 0: expected an",
        ),
    ],
)
def test_bad_files_are_named_and_nothing_is_written(tmp_path, name, records, columns, message):
    path = write_rows(tmp_path / "a.jsonl", records)
    with pytest.raises(ValueError, match=f"^{message}"):
        write_query_set(name, path, tmp_path / "out.parquet", columns=columns)
    assert [found.name for found in tmp_path.iterdir()] == ["a.jsonl"]


def test_the_table_is_parquet(tmp_path):
    with pytest.raises(ValueError, match=r"out.csv: expected a .parquet file to write"):
        write_query_set("alpaca", tmp_path / "a.json", tmp_path / "out.csv")
