"""Presets: made-up rows in each gateway's public form become the right decisions, and the options can change them."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prouter_jax.data.logs.convert import Options, convert_log
from prouter_jax.data.logs.fields import FIELDS, parse_columns
from prouter_jax.data.logs.presets import PRESETS, find_preset
from prouter_jax.data.logs.tables import read_logged
from prouter_jax.data.tables.read_write import read_tables

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi there"}]
TIME = 1716990379.5  # 2024-05-29T13:46:19.500Z
ISO = "2024-05-29T13:46:19.500Z"
GENAI = {
    "gen_ai.request.model": "asked-for",
    "gen_ai.response.model": "m",
    "gen_ai.usage.input_tokens": 12,
    "gen_ai.usage.output_tokens": 34,
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi there"}]}]),
    "user.id": "ann",
}


WITHOUT_MESSAGES = {name: value for name, value in GENAI.items() if name != "gen_ai.input.messages"}
NUMBERED = {"gen_ai.prompt.1.role": "user", "gen_ai.prompt.1.content": "Hi there", "gen_ai.prompt.0.role": "system"}
DETAILS = "gen_ai.client.inference.operation.details"


def _pairs(attributes):
    return [{"key": key, "value": _any(value)} for key, value in attributes.items()]


def _otlp(attributes, events=()):
    span = {"name": "chat m", "startTimeUnixNano": str(int(TIME * 1e9)), "attributes": _pairs(attributes)}
    span["events"] = list(events)
    other = {"name": "GET /", "startTimeUnixNano": "1", "attributes": []}
    return {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}, {"spans": [other]}]}]}


def _any(value):
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}


LITELLM = {
    "request_id": "r1",
    "call_type": "acompletion",
    "spend": 0.25,
    "prompt_tokens": 12,
    "completion_tokens": 34,
    "startTime": ISO,
    "model": "m",
    "user": "default_user_id",
    "end_user": "ann",
}
LANGFUSE = {
    "id": "o1",
    "trace_id": "t1",
    "type": "GENERATION",
    "user_id": "ann",
    "input": json.dumps(ASKED),
    "provided_model_name": "m",
    "usage_details": {"input": 12, "output": 34, "total": 46},
    "total_cost": 0.25,
    "latency": 1.5,
    "start_time": "2024-05-29 13:46:19.500000",
}
SCORE = {"id": "s1", "trace_id": "t1", "observation_id": None, "name": "user", "value": 1, "data_type": "BOOLEAN"}
BODY = {"model": "asked-for", "messages": ASKED, "user": "ann"}
USAGE = {"prompt_tokens": 12, "completion_tokens": 34}
FILES = {  # the objects of the lines of each file; expected: tokens 12 and 34, and those of cost, latency, reward, time
    "litellm": ([[LITELLM | {"messages": ASKED}]], {"cost": 0.25}),
    "litellm stored": ([[LITELLM | {"messages": {}, "proxy_server_request": json.dumps(BODY)}]], {"cost": 0.25}),
    "litellm payload": (
        [
            [
                {
                    "id": "chatcmpl-1",
                    "call_type": "acompletion",
                    "response_cost": 0.25,
                    "status": "success",
                    "prompt_tokens": 12,
                    "completion_tokens": 34,
                    "startTime": TIME,
                    "response_time": 1.5,
                    "model": "m",
                    "end_user": "",
                    "metadata": {"user_api_key_user_id": "default", "user_api_key_end_user_id": "ann"},
                    "messages": ASKED,
                    "model_parameters": {},
                }
            ]
        ],
        {"cost": 0.25, "latency": 1.5},
    ),
    "langfuse": (
        [[LANGFUSE], [SCORE, SCORE | {"trace_id": "t2", "value": 0}]],
        {"cost": 0.25, "latency": 1.5, "reward": 1},
    ),
    "langfuse camel": (
        [
            [
                {
                    "id": "o1",
                    "traceId": "t1",
                    "userId": "ann",
                    "input": {"messages": ASKED},
                    "model": "m",
                    "usageDetails": {"input": 12, "output": 34},
                    "calculatedTotalCost": 0.25,
                    "latency": 1.5,
                    "startTime": ISO,
                    "score": 1,
                },
            ]
        ],
        {"cost": 0.25, "latency": 1.5},
    ),
    "openai_batch": (
        [
            [{"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": BODY}],
            [
                {
                    "id": "b1",
                    "custom_id": "r1",
                    "response": {"status_code": 200, "body": {"model": "m", "created": TIME, "usage": USAGE}},
                    "error": None,
                },
                {"id": "b2", "custom_id": "r2", "response": None, "error": {"code": "expired"}},
            ],
        ],
        {},
    ),
    "openrouter": (
        [
            [
                {
                    "data": {
                        "external_user": "ann",
                        "model": "m",
                        "total_cost": 0.25,
                        "latency": 1500,
                        "tokens_prompt": 12,
                        "tokens_completion": 34,
                        "created_at": ISO,
                    },
                    "request": {"messages": ASKED},
                }
            ]
        ],
        {"cost": 0.25, "latency": 1.5},
    ),
    "openrouter sdk": (
        [
            [
                {
                    "data": {
                        "externalUser": "ann",
                        "model": "m",
                        "totalCost": 0.25,
                        "latency": 1500,
                        "tokensPrompt": 12,
                        "tokensCompletion": 34,
                        "createdAt": ISO,
                        "usage": 0.25,
                    },
                    "request": {"messages": ASKED},
                }
            ]
        ],
        {"cost": 0.25, "latency": 1.5},
    ),
    "helicone": (
        [
            [
                {
                    "request_user_id": "ann",
                    "request_body": {"model": "asked-for", "messages": ASKED},
                    "request_model": "asked-for",
                    "response_model": "m",
                    "prompt_tokens": 12,
                    "completion_tokens": 34,
                    "costUSD": 0.25,
                    "delay_ms": 1500,
                    "feedback_rating": False,
                    "request_created_at": ISO,
                }
            ]
        ],
        {"cost": 0.25, "latency": 1.5, "reward": 0},
    ),
    "portkey": (
        [
            [
                {
                    "created_at": ISO,
                    "request": {"body": {"messages": ASKED}},
                    "ai_model": "m",
                    "req_units": 12,
                    "res_units": 34,
                    "cost": 25,
                    "response_time": 1500,
                    "metadata": json.dumps({"_user": "ann"}),
                }
            ]
        ],
        {"cost": 0.25, "latency": 1.5},
    ),
    "vllm_semantic_router": (
        [
            [
                {
                    "id": "1",
                    "timestamp": ISO,
                    "prompt": "Hi there",
                    "request_body": json.dumps(BODY),
                    "selected_model": "m",
                    "original_model": "auto",
                    "category": "chat",
                    "prompt_tokens": 12,
                    "completion_tokens": 34,
                    "actual_cost": 0.25,
                    "duration_ms": 1500,
                }
            ]
        ],
        {"cost": 0.25, "latency": 1.5},
    ),
    "otel": ([[_otlp(GENAI)]], {}),
    "otel numbered": ([[_otlp(WITHOUT_MESSAGES | NUMBERED)]], {}),
    "otel events": ([[_otlp(WITHOUT_MESSAGES, [{"name": DETAILS, "attributes": _pairs(GENAI)}])]], {}),
    "otel logs": (
        [
            [
                {
                    "resourceLogs": [
                        {
                            "scopeLogs": [
                                {
                                    "logRecords": [
                                        {
                                            "timeUnixNano": str(int(TIME * 1e9)),
                                            "eventName": DETAILS,
                                            "attributes": _pairs(GENAI),
                                        },
                                        {"timeUnixNano": "1", "body": {"stringValue": "started"}},
                                    ]
                                }
                            ]
                        }
                    ]
                }
            ]
        ],
        {},
    ),
    "otel spans": ([[{"name": "chat", "start_time": ISO, "attributes": GENAI}]], {}),
    "otel flat": ([[GENAI | {"Timestamp": ISO}]], {}),
}


def _convert(folder, preset, files, **options):
    paths = [folder / f"{number}.jsonl" for number in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = find_preset(preset)
    settings = {"columns": found.columns, "preset": found} | options
    counts = convert_log(paths, folder / "out", Options(**settings))
    data = read_tables(folder / "out")
    return counts, data, read_logged(folder / "out", data)


@pytest.mark.parametrize("name", FILES)
def test_a_row_of_each_gateway_is_a_decision(tmp_path, name):
    files, expected = FILES[name]
    counts, data, logged = _convert(tmp_path, name.split()[0], files, rating_range=(0, 1))
    assert counts.kept == 1
    assert data.users.ids.tolist() == ["ann"]
    assert data.queries.texts.tolist() == ["Hi there"]
    assert [data.llms.ids[served] for served in logged.served] == ["m"]
    assert (data.outcomes.input_tokens.tolist(), data.outcomes.output_tokens.tolist()) == ([12], [34])
    np.testing.assert_allclose(data.decisions.time, [TIME])
    np.testing.assert_array_equal(data.outcomes.cost, [expected.get("cost", np.nan)])
    np.testing.assert_allclose(logged.latency, [expected.get("latency", np.nan)])
    reward = 1 if name == "langfuse camel" else expected.get("reward", np.nan)
    np.testing.assert_array_equal(logged.reward, [reward])


def test_every_preset_names_its_required_columns():
    assert {name.split()[0] for name in FILES} == set(PRESETS)
    for preset in PRESETS.values():
        assert set(preset.columns) == set(FIELDS)
        assert preset.columns["user"]
        assert preset.columns["served"]
        assert preset.columns["query"] or preset.columns["messages"]


def test_single_columns_of_a_preset_can_be_changed(tmp_path):
    columns = parse_columns("user=user,rating=metadata.stars", find_preset("litellm").columns)
    rows = [LITELLM | {"messages": ASKED, "metadata": {"stars": stars}} for stars in (1, 5)]
    _, data, logged = _convert(tmp_path, "litellm", [rows], columns=columns)
    assert data.users.ids.tolist() == ["default_user_id"]
    assert sorted(logged.reward) == [0, 1]


def test_one_of_several_scores_of_a_trace_is_named(tmp_path):
    scores = [SCORE | {"name": "style", "value": 5}, SCORE | {"name": "user", "value": 0}]
    scores += [one | {"trace_id": "t2", "value": value} for one, value in zip(scores, (1, 1), strict=True)]
    traces = [LANGFUSE, LANGFUSE | {"trace_id": "t2", "id": "o2"}]
    assert _convert(tmp_path, "langfuse", [traces, scores])[0].judged == 0
    (tmp_path / "named").mkdir()
    columns = parse_columns("rating=scores.user", find_preset("langfuse").columns)
    assert sorted(_convert(tmp_path / "named", "langfuse", [traces, scores], columns=columns)[2].reward) == [0, 1]


def test_columns_of_a_preset_in_parquet(tmp_path):
    rows = [LITELLM | {"messages": json.dumps(ASKED), "end_user": user} for user in ("ann", "", None)]

    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    preset = find_preset("litellm")
    counts = convert_log([tmp_path / "log.parquet"], tmp_path / "out", Options(columns=preset.columns, preset=preset))
    assert (counts.kept, counts.dropped) == (1, {"no user": 2})
