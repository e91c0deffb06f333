"""The columns of logs that usual gateways write, by their public schemas.

| preset | schema |
|---|---|
| litellm | LiteLLM_SpendLogs of schema.prisma, StandardLoggingPayload of litellm/types/utils.py (BerriAI/litellm) |
| langfuse | langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields, and the same in camel case |
| openai_batch | BatchRequestInput and BatchRequestOutput of github.com/openai/openai-openapi |
| openrouter | GenerationResponse of openrouter.ai/docs/api/api-reference/generations, with the request beside it |
| helicone | HeliconeRequest of docs.helicone.ai/rest/request/post-v1requestquery-clickhouse |
| portkey | portkey.ai/docs/product/observability/logs-export |
| vllm_semantic_router | Record of pkg/routerreplay/store/store.go, github.com/vllm-project/semantic-router |
| otel | gen_ai attributes of opentelemetry.io/docs/specs/semconv/gen-ai, as OTLP/JSON or a row for each span |

LiteLLM's table is in its database, its payload is what callbacks such as those to S3 and GCS write. OpenRouter's fields
may be in camel case, as its SDK has them. OpenTelemetry's attributes may be of a span's events, of the event
gen_ai.client.inference.operation.details among logs, and numbered, as gen_ai.prompt.0.content of
github.com/traceloop/openllmetry.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable

from prouter_jax.data.logs.fields import FIELDS, any_value
from prouter_jax.data.logs.pieces import Columns, Expand


@dataclasses.dataclass(frozen=True)
class Preset:
    """How a gateway's log is read.

    Attributes:
      columns: names and paths of the columns of each field.
      units: by column, what a unit of it is in USD or seconds.
      expand: makes the function from objects to rows, out of the objects of all files; None for a row an object.
    """

    columns: Columns
    units: dict[str, float] = dataclasses.field(default_factory=dict)
    expand: Callable[[Iterable[dict]], Expand] | None = None


def find_preset(name: str) -> Preset:
    """The preset of a name.

    Raises:
      ValueError: if there is none; the message names all.
    """
    if name not in PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, found {name!r}")
    return PRESETS[name]


def _columns(**named: str) -> Columns:
    """The columns of each field, from names separated by spaces."""
    return dict.fromkeys(FIELDS, ()) | {field: tuple(names.split()) for field, names in named.items()}


def _attributes(names: str) -> str:
    """The names below the attributes of a span, as OTLP, ClickHouse and tables of attributes have them."""
    return " ".join(prefix + name for name in names.split() for prefix in ("attributes.", "SpanAttributes.", ""))


def _join_batches(objects: Iterable[dict]) -> Expand:
    """Rows of an output file of the Batch API, each with the request of the same custom_id in an input file."""
    requests = {one.get("custom_id"): one.get("body") for one in objects if "body" in one}

    def expand(one: dict) -> list[dict]:
        return [] if "body" in one else [{**one, "request": requests.get(one.get("custom_id"))}]

    return expand


def _join_scores(objects: Iterable[dict]) -> Expand:
    """Observations of Langfuse with the scores of the same observation or trace, by name: `scores.NAME`."""
    scores: dict[str, dict[str, object]] = {}
    for one in filter(_is_score, objects):
        of = one.get("observation_id") or one.get("observationId") or one.get("trace_id") or one.get("traceId")
        text = one.get("string_value", one.get("stringValue"))
        scores.setdefault(str(of), {})[str(one.get("name"))] = text or one.get("value")

    def expand(one: dict) -> list[dict]:
        if _is_score(one):
            return []
        trace = scores.get(str(one.get("trace_id", one.get("traceId"))), {})
        found = trace | scores.get(str(one.get("id")), {})
        only = {"score": next(iter(found.values()))} if len(found) == 1 else {}
        return [{**only, **one, "scores": found}] if found else [one]

    return expand


def _is_score(one: dict) -> bool:
    return ("data_type" in one or "dataType" in one) and "value" in one and "input" not in one


def _spans(_: Iterable[dict]) -> Expand:
    """The spans and log records of OTLP/JSON; an object that is no OTLP is a span."""

    def expand(one: dict) -> list[dict]:
        found = [
            span
            for resources, scopes, spans in _OTLP
            for resource in one.get(resources) or []
            for scope in resource.get(scopes) or []
            for span in scope.get(spans) or []
        ]
        return [_with_prompts(span) for span in (found if any(key in one for key, *_ in _OTLP) else [one])]

    return expand


def _with_prompts(span: dict) -> dict:
    """A span with the attributes of its events, which have the texts, and with numbered prompts as messages."""
    found: dict = {}
    for one in (*(span.get("events") or []), span):
        attributes = one.get("attributes") if isinstance(one, dict) else None
        if isinstance(attributes, list):
            pairs = [pair for pair in attributes if isinstance(pair, dict)]
            attributes = {pair.get("key"): any_value(pair.get("value")) for pair in pairs}
        found |= attributes if isinstance(attributes, dict) else {}
    prompts: dict[int, dict] = {}
    for key, value in found.items():
        if numbered := _PROMPT.fullmatch(str(key)):
            prompts.setdefault(int(numbered[1]), {})[numbered[2]] = value
    messages = {"gen_ai.prompt": [prompts[number] for number in sorted(prompts)]} if prompts else {}
    return {**span, "attributes": messages | found} if found else span


_OTLP = (("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords"))
_PROMPT = re.compile(r"gen_ai\.prompt\.(\d{1,4})\.(role|content)")


PRESETS = {
    "litellm": Preset(
        _columns(
            user="end_user metadata.user_api_key_end_user_id",
            messages="messages proxy_server_request",
            served="model",
            input_tokens="prompt_tokens",
            output_tokens="completion_tokens",
            cost="spend response_cost",
            latency="response_time request_duration_ms",
            time="startTime",
        )
    ),
    "langfuse": Preset(
        _columns(
            user="user_id userId",
            query="input",
            served="provided_model_name providedModelName model",
            input_tokens="usage_details.input usageDetails.input promptTokens",
            output_tokens="usage_details.output usageDetails.output completionTokens",
            cost="total_cost totalCost calculatedTotalCost",
            latency="latency",
            rating="score",
            time="start_time startTime",
        ),
        expand=_join_scores,
    ),
    "openai_batch": Preset(
        _columns(
            user="request.user request.safety_identifier",
            messages="request",
            served="response.body.model",
            input_tokens="response.body.usage.prompt_tokens response.body.usage.input_tokens",
            output_tokens="response.body.usage.completion_tokens response.body.usage.output_tokens",
            time="response.body.created response.body.created_at",
        ),
        expand=_join_batches,
    ),
    "openrouter": Preset(
        _columns(
            user="external_user data.external_user externalUser data.externalUser request.user user",
            query="prompt request.prompt",
            messages="messages request.messages request",
            served="model data.model",
            candidates="models request.models",
            input_tokens="tokens_prompt data.tokens_prompt tokensPrompt data.tokensPrompt usage.prompt_tokens",
            output_tokens="tokens_completion data.tokens_completion tokensCompletion data.tokensCompletion "
            "usage.completion_tokens",
            cost="total_cost data.total_cost totalCost data.totalCost usage.cost",
            latency="latency data.latency",
            time="created_at data.created_at createdAt data.createdAt created",
        ),
        units={"latency": 1e-3, "data.latency": 1e-3},
    ),
    "helicone": Preset(
        _columns(
            user="request_user_id",
            messages="request_body",
            served="response_model model request_model",
            input_tokens="prompt_tokens",
            output_tokens="completion_tokens",
            cost="costUSD cost",
            latency="delay_ms",
            thumb="feedback_rating",
            time="request_created_at",
        ),
    ),
    "portkey": Preset(
        _columns(
            user="metadata._user",
            messages="request.body request",
            served="ai_model",
            input_tokens="req_units",
            output_tokens="res_units",
            cost="cost",
            latency="response_time",
            time="created_at",
        ),
        units={"cost": 0.01, "response_time": 1e-3},  # cents and milliseconds
    ),
    "vllm_semantic_router": Preset(
        _columns(
            user="request_body.user request_body.safety_identifier request_body.metadata.user_id",
            query="prompt",
            messages="request_body",
            task="category",
            served="selected_model",
            input_tokens="prompt_tokens",
            output_tokens="completion_tokens",
            cost="actual_cost",
            latency="duration_ms",
            time="timestamp",
        ),
    ),
    "otel": Preset(
        _columns(
            user=_attributes("user.id enduser.id enduser.pseudo.id"),
            messages=_attributes("gen_ai.input.messages gen_ai.prompt"),
            served=_attributes("gen_ai.response.model gen_ai.request.model"),
            input_tokens=_attributes("gen_ai.usage.input_tokens gen_ai.usage.prompt_tokens"),
            output_tokens=_attributes("gen_ai.usage.output_tokens gen_ai.usage.completion_tokens"),
            time="startTimeUnixNano timeUnixNano start_time Timestamp timestamp",
        ),
        expand=_spans,
    ),
}
