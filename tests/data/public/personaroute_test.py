"""A generated PersonaRoute-Bench with the published columns, in both variants."""

import csv
import json

import numpy as np
import pytest

from prouter_jax.data.public.personaroute import read_personaroute

LLMS = ("small", "large")
EFFECT = {("sum", "small"): 0.0, ("sum", "large"): 1.0, ("poem", "small"): 0.5, ("poem", "large"): 0.75}
QUERIES = (("math", "sum"), ("art", "poem"))
VECTORS = {
    "sum": "[[0.5 -1.\n 2e-1]]",
    "poem": "[[1. 2. 3.]]",
    "math": "[[1. 0.]]",
    "art": "[[0. 1.]]",
}


def _records(judged=False):
    records = []
    for user, preference in (("0", "0.2"), ("1", "1.0")):
        for task, query in QUERIES:
            best = "large" if user == "1" else "small"
            for llm in LLMS:
                record = {
                    "user_id": user,
                    "performance_preference": preference,
                    "task_id": task,
                    "query": query,
                    "query_embedding": VECTORS[query],
                    "effect": str(EFFECT[query, llm]),
                    "cost": "0.25" if llm == "large" else "0.125",
                    "ground_truth": "a, b",
                    "metric": "f1",
                    "llm": llm,
                    "task_description": f"About {task}",
                    "task_description_embedding": VECTORS[task],
                    "response": f'long "text"\nof {llm} on {query} ' + "x" * 200_000,
                    "reward": "0.1",
                    "best_llm": best,
                }
                if judged:
                    del record["performance_preference"], record["best_llm"]
                    record["best_answer"] = str(int(llm == best))
                records.append(record)
    return records


def _with_places(records, reward=True):
    """The form of the released script: best_llm is a place among the rows, the reward is highest there."""
    best = {"small": "0", "large": "1"}
    changed = []
    for record in records:
        place = best[record["best_llm"]]
        won = record["llm"] == record["best_llm"]
        changed.append(record | {"best_llm": place, "reward": str(0.5 * won) if reward else ""})
    return changed


def _write(path, records):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


@pytest.mark.parametrize("reward", [True, False])
def test_places_of_the_best_llm_are_its_name(tmp_path, reward):
    records = _records()
    named = read_personaroute(_write(tmp_path / "a.csv", records)).data
    placed = read_personaroute(_write(tmp_path / "b.csv", _with_places(records, reward))).data
    for one, other in ((named.feedback, placed.feedback), (named.decisions, placed.decisions)):
        for column, values in vars(one).items():
            np.testing.assert_array_equal(getattr(other, column), values)


def test_a_place_without_the_highest_reward_is_an_error(tmp_path):
    records = _with_places(_records())
    records[0]["reward"], records[1]["reward"] = records[1]["reward"], records[0]["reward"]
    with pytest.raises(ValueError, match=r"column best_llm, row 0: expected the place of the highest reward, 0.5"):
        read_personaroute(_write(tmp_path / "a.csv", records))


def test_a_place_that_no_llm_has_is_an_error(tmp_path):
    records = [record | {"best_llm": "7"} for record in _with_places(_records(), reward=False)]
    with pytest.raises(ValueError, match="column best_llm, row 0: expected one of the LLMs that have a row"):
        read_personaroute(_write(tmp_path / "a.csv", records))


def test_llms_that_are_called_by_numbers_are_names(tmp_path):
    names = {"small": "1", "large": "0"}
    records = [record | {"llm": names[record["llm"]], "best_llm": names[record["best_llm"]]} for record in _records()]
    data = read_personaroute(_write(tmp_path / "a.csv", records)).data
    assert list(data.llms.ids[data.feedback.llm]) == ["1", "1", "0", "0"]


@pytest.mark.parametrize("judged", [False, True])
def test_both_variants_are_read_as_choices(tmp_path, judged):
    limit = csv.field_size_limit()
    data = read_personaroute(_write(tmp_path / "a.csv", _records(judged))).data
    assert csv.field_size_limit() == limit
    assert list(data.users.ids) == ["0", "1"]
    assert list(data.queries.ids) == ["q0", "q1"]
    assert list(data.queries.texts) == ["sum", "poem"]
    assert list(data.tasks.ids[data.queries.task]) == ["math", "art"]
    assert list(data.tasks.descriptions) == ["About math", "About art"]
    np.testing.assert_allclose(data.queries.vectors, [[0.5, -1, 0.2], [1, 2, 3]])
    np.testing.assert_allclose(data.tasks.vectors, [[1, 0], [0, 1]])
    assert list(data.outcomes.effect) == [0, 1, 0.5, 0.75]
    assert list(data.outcomes.cost) == [0.125, 0.25, 0.125, 0.25]
    assert list(data.outcomes.response) == [record["response"] for record in _records()[:4]]
    assert list(data.llms.ids[data.feedback.llm]) == ["small", "small", "large", "large"]
    assert list(data.decisions.user) == [0, 0, 1, 1]
    assert list(data.decisions.query) == [0, 1, 0, 1]
    assert data.offers.all()
    np.testing.assert_array_equal(data.users.preference, [np.nan] * 2 if judged else [0.2, 1])
    assert list(data.llms.families) == ["", ""]
    assert np.isnan(data.llms.input_price).all()


def test_responses_may_be_missing(tmp_path):
    records = _records()
    records[0]["response"], records[4]["response"] = "", "too late"
    data = read_personaroute(_write(tmp_path / "a.csv", records)).data
    assert list(data.outcomes.response) == ["", *(record["response"] for record in records[1:4])]
    for record in records:
        del record["response"]
    assert read_personaroute(_write(tmp_path / "b.csv", records)).data.outcomes.response is None


def test_ties_of_a_judge_share_the_choice(tmp_path):
    records = _records(judged=True)
    records[0]["best_answer"] = records[1]["best_answer"] = "1"
    data = read_personaroute(_write(tmp_path / "a.csv", records)).data
    assert list(data.feedback.value) == [0.5, 0.5, 1, 1, 1]
    assert list(data.feedback.llm[:2]) == [0, 1]


def test_an_incomplete_group_offers_the_llms_it_has(tmp_path):
    records = _records()
    del records[1]
    data = read_personaroute(_write(tmp_path / "b.csv", records)).data
    assert list(data.llms.ids[data.offers[data.decisions.offer[0]]]) == ["small"]
    assert data.offers[data.decisions.offer[1:]].all()
    assert len(data.outcomes.llm) == 4


def test_llm_file_joins_by_name_and_keeps_the_unused(tmp_path):
    table = {
        "unused": {"feature": "Not asked.", "input_price": 1, "output_price": 2, "model": "x"},
        "large": {"feature": "Big.", "input_price": 0.9, "output_price": 0.9, "model": "y"},
        "small": {"feature": "Tiny.", "input_price": 0.1, "output_price": 0.2, "model": "z"},
    }
    (tmp_path / "llms.json").write_text(json.dumps(table))
    data = read_personaroute(_write(tmp_path / "a.csv", _records()), tmp_path / "llms.json").data
    assert list(data.llms.ids) == ["unused", "large", "small"]
    assert list(data.llms.descriptions) == ["Not asked.", "Big.", "Tiny."]
    assert list(data.llms.output_price) == [2, 0.9, 0.2]
    assert list(data.llms.ids[data.feedback.llm]) == ["small", "small", "large", "large"]
    assert not data.offers[:, 0].any()
    effects = {data.llms.ids[llm]: effect for llm, effect in zip(data.outcomes.llm, data.outcomes.effect, strict=True)}
    assert effects == {"small": 0.5, "large": 0.75}


def test_a_folder_is_read_as_one(tmp_path):
    records = _records()
    _write(tmp_path / "router_user_test_data_v1.csv", [r for r in records if r["query"] == "poem"])
    _write(tmp_path / "router_user_train_data_v1.csv", [r for r in records if r["query"] == "sum"])
    data = read_personaroute(tmp_path).data
    assert list(data.queries.texts) == ["sum", "poem"]
    assert len(data.decisions.user) == 4
    assert read_personaroute([str(p) for p in sorted(tmp_path.iterdir())]).data.queries.texts[0] == "poem"
    _write(tmp_path / "router_user_test_data_v2.csv", _records(judged=True))
    with pytest.raises(ValueError, match=r"expected router_user_.* of one kind, found v1, v2"):
        read_personaroute(tmp_path)


@pytest.mark.parametrize(
    ("row", "column", "value", "found"),
    [
        (3, "effect", "1.5", "1.5"),
        (3, "effect", "nan", "NaN"),
        (3, "effect", "good", "'good'"),
        (2, "cost", "-0.1", "-0.1"),
        (2, "cost", "inf", "inf"),
        (0, "query_embedding", "[[1. x]]", "'[[1. x]]'"),
        (2, "query_embedding", "[[1. 2.]]", "2"),
        (2, "query_embedding", "[[1. nan 2.]]", "'[[1. nan 2.]]'"),
        (0, "task_description_embedding", "[[]]", "'[[]]'"),
        (5, "user_id", "", "''"),
        (5, "performance_preference", "0.3", "0.3"),
        (4, "performance_preference", "2", "2.0"),
        (1, "best_llm", "large", "'large'"),
        (4, "effect", "0.125", "0.125"),
        (5, "cost", "0.5", "0.5"),
        (1, "llm", "small", "'small'"),
        (5, "task_description", "Other", "'Other'"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, row, column, value, found):
    records = _records()
    records[row][column] = value
    message = _error(tmp_path, records)
    assert message.startswith(f"table a.csv, column {column}, row {row}: expected ")
    assert message.endswith(f"found {found}")


def _error(folder, records, llms_path=""):
    with pytest.raises(ValueError, match=r"expected .* found") as caught:
        read_personaroute(_write(folder / "a.csv", records), llms_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("value", "found"), [("2", "'2'"), ("error", "'error'"), ("", "''")])
def test_a_failed_judgement_is_named(tmp_path, value, found):
    records = _records(judged=True)
    records[3]["best_answer"] = value
    message = _error(tmp_path, records)
    assert message == f"table a.csv, column best_answer, row 3: expected 0 or 1, found {found}"


@pytest.mark.parametrize(
    ("judged", "column", "found"), [(True, "best_answer", "nothing"), (False, "best_llm", "'large'")]
)
def test_a_choice_that_is_not_among_the_rows_is_named(tmp_path, judged, column, found):
    records = _records(judged)
    del records[5]
    expected = "one of the LLMs that have a row for this user and query"
    message = f"table a.csv, column {column}, row 4: expected {expected}, found {found}"
    assert _error(tmp_path, records) == message


def test_the_row_is_counted_in_its_own_file(tmp_path):
    records = _records()
    records[6]["cost"] = "0.5"
    paths = [_write(tmp_path / "a.csv", records[:5]), _write(tmp_path / "b.csv", records[5:])]
    with pytest.raises(ValueError, match=r"table b.csv, column cost, row 1: expected 0.125 as before .* found 0.5"):
        read_personaroute(paths)


def test_files_of_two_variants_do_not_mix(tmp_path):
    paths = [_write(tmp_path / "a.csv", _records()), _write(tmp_path / "b.csv", _records(judged=True))]
    with pytest.raises(ValueError, match=r"table b.csv, column best_answer: expected performance_preference"):
        read_personaroute(paths)


@pytest.mark.parametrize("column", ["user_id", "query_embedding", "best_llm", "task_description"])
def test_a_missing_column_is_named(tmp_path, column):
    records = [{name: cell for name, cell in record.items() if name != column} for record in _records()]
    assert _error(tmp_path, records).startswith(f"table a.csv, column {column}: expected this column")


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.csv: expected a file, found none$"):
        read_personaroute(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"expected router_user_.* found none"):
        read_personaroute(tmp_path)
    path = _write(tmp_path / "a.csv", _records())
    path.write_text(path.read_text()[:-30])
    with pytest.raises(ValueError, match=r"table a.csv, row 7: expected readable CSV"):
        read_personaroute(path)
    path.write_bytes(_write(path, _records()).read_bytes().replace(b"poem", b"po\xffem"))
    with pytest.raises(ValueError, match=r"table a.csv, column query, row 2: expected UTF-8 text"):
        read_personaroute(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "table llms.json: expected JSON"),
        ("[1]", "table llms.json: expected JSON"),
        ("[" * 100_000, "table llms.json: expected JSON"),
        ('{"small": 1}', "table llms.json: expected JSON .* found something else"),
        ('{"\\ud800": {}}', "table llms.json: expected JSON .* found the name"),
        ('{"small": {"feature": "\\ud800"}}', "table llms.json, column feature, row 0: expected a text"),
        (
            '{"small": {"input_price": 1' + "0" * 400 + "}}",
            "table llms.json, column input_price, row 0: expected a finite",
        ),
        ('{"small": {}, "small": {}}', "table llms.json: expected JSON .*'small' twice"),
        ('{"small": {}}', "table a.csv, column llm, row 1: expected an LLM of the JSON file, found 'large'"),
        ('{"small": {}, "large": {"input_price": NaN}}', "table llms.json, column input_price, row 1: .* found NaN"),
        ('{"small": {"output_price": "1"}}', "table llms.json, column output_price, row 0: .* found '1'"),
        ('{"small": {"feature": 1}}', "table llms.json, column feature, row 0: expected a text, found 1"),
    ],
)
def test_a_bad_llm_file_is_named(tmp_path, content, message):
    (tmp_path / "llms.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        read_personaroute(_write(tmp_path / "a.csv", _records()), tmp_path / "llms.json")
