"""The LiteLLM plugin: what it asks, what it does without an answer; and a real LiteLLM proxy, if one is installed."""

import asyncio
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import types

import httpx2
import openai
import pytest
from gateway_stub import run_stub_llms
from processes import ROOT, wait_for
from serve_cases import LLMS, key_lines

from prouter_jax.serving.litellm_plugin import Plugin

CANDIDATES = ["openai/alder", "azure/eu/birch", "openai/unknown"]


class Service:
    """Answers as `prouter serve` does, and notes what it was asked; the pick is the last candidate."""

    def __init__(self):
        self.asked, self.fail = [], None

    async def __call__(self, method, path, body):
        self.asked.append((path, body))
        if self.fail == "hang":
            await asyncio.Event().wait()
        if self.fail:
            raise OSError("no route to host")
        if path == "/v1/models":
            return {"data": [{"id": llm} for llm in LLMS]}
        return {"decision_id": "d1", "model": body.get("candidates", [""])[-1], "basis": "history", "reason": "best"}


def _context(candidates=CANDIDATES, **metadata):
    metadata = {"user_api_key_end_user_id": "ann"} | metadata
    messages = [{"role": "user", "content": "Hello"}]
    return types.SimpleNamespace(
        raw_messages=[], structured_messages=messages, candidate_models=list(candidates), metadata=metadata, signals={}
    )


def _run(plugin, **options):
    return asyncio.run(plugin.run(_context(**options)))


def test_the_candidates_are_narrowed_to_the_pick_of_the_service():
    service = Service()
    plugin = Plugin(service)
    found = _run(plugin, session_id="s")
    assert found.candidate_models == ["azure/eu/birch"]
    assert found.signals["prouter"]["decision_id"] == "d1"
    assert [path for path, _ in service.asked] == ["/v1/models", "/v1/route"]
    messages = [{"role": "user", "content": "Hello"}]
    expected = {"user": "ann", "messages": messages, "candidates": ["alder", "birch"], "session": "s"}
    assert service.asked[1][1] == expected
    _run(plugin)
    assert [path for path, _ in service.asked[2:]] == ["/v1/route"]  # the models are remembered


@pytest.mark.parametrize("fail", ["hang", "gone"])
def test_without_an_answer_the_gateway_decides_and_is_not_held_up_again(fail):
    now, service = 0.0, Service()
    plugin = Plugin(service, seconds=0.001, clock=lambda: now)
    service.fail = fail
    assert _run(plugin).candidate_models == CANDIDATES
    assert (plugin.failures, len(service.asked)) == (1, 1)
    service.fail = None
    assert _run(plugin).candidate_models == CANDIDATES  # a rest of a second
    assert len(service.asked) == 1
    now = 1.5
    plugin._seconds = 600
    assert _run(plugin).candidate_models == ["azure/eu/birch"]


def test_nothing_is_asked_without_a_user_or_a_choice():
    service = Service()
    assert _run(Plugin(service), user_api_key_end_user_id=None).candidate_models == CANDIDATES
    assert _run(Plugin(service), candidates=["openai/alder"]).candidate_models == ["openai/alder"]
    assert not service.asked
    assert _run(Plugin(service), candidates=["x/oak", "x/elm"]).candidate_models == ["x/oak", "x/elm"]
    assert [path for path, _ in service.asked] == ["/v1/models"]


def test_a_model_that_failed_is_not_offered_for_a_while():
    now, service = 0.0, Service()
    plugin = Plugin(service, clock=lambda: now)

    def candidates():
        _run(plugin)
        return service.asked[-1][1]["candidates"]

    asyncio.run(plugin.note({}, "azure/eu/birch", None))
    assert candidates() == ["alder"]
    asyncio.run(plugin.note({}, "alder", None))
    assert candidates() == ["alder", "birch"]  # all are down: any may be tried
    now = 31.0
    assert candidates() == ["alder", "birch"]
    asyncio.run(plugin.note({}, "birch", None))
    asyncio.run(plugin.note({}, "birch", {"cost": 0.1}))
    assert candidates() == ["alder", "birch"]


def test_what_was_served_is_told_with_its_decision():
    service = Service()
    plugin = Plugin(service)
    metadata = {"user_api_key_user_id": "ann", "routing_plugin_signals": {"prouter": {"decision_id": "d1"}}}
    asyncio.run(plugin.note(metadata, "openai/alder", {"cost": 0.1, "latency": 2.0}))
    expected = {"decision_id": "d1", "user": "ann", "model": "alder", "cost": 0.1, "latency": 2.0}
    assert service.asked == [("/v1/served", expected)]
    asyncio.run(plugin.note({"user_api_key_user_id": "ann"}, "openai/alder", {"cost": 0.1}))  # no decision of ours
    assert len(service.asked) == 1


def test_the_module_loads_in_a_gateway_without_jax():
    code = "import sys, prouter_jax.serving.litellm_plugin; sys.exit(str({'jax', 'numpy', 'httpx'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stderr.strip() == "set()"


LITELLM = os.environ.get("PROUTER_LITELLM") or shutil.which("litellm")


@contextlib.contextmanager
def _process(command, output: pathlib.Path, **environment):
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, cwd=output.parent, env=os.environ | environment)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@contextlib.contextmanager
def _gateway(folder, llms, service_port):
    """A LiteLLM proxy with the configuration of docs/serving.md; yields its port."""
    (config,) = re.findall(r"```yaml\n(model_list.*?)```", (ROOT / "docs" / "serving.md").read_text(), re.S)
    for number, name in enumerate(LLMS, 1):
        config = config.replace(f"http://127.0.0.1:900{number}/v1", f"http://127.0.0.1:{llms.server_address[1]}/{name}")
    (folder / "config.yaml").write_text(config + "general_settings: {master_key: sk-test}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [LITELLM, "--config", str(folder / "config.yaml"), "--port", str(port), "--host", "127.0.0.1"]
    settings = {
        "PYTHONPATH": str(ROOT), "PROUTER_URL": f"http://127.0.0.1:{service_port}",
        "PROUTER_KEY": "the gateway's key", "PROUTER_SECONDS": "5",
    }  # fmt: skip
    with _process(command, folder / "gateway.log", **settings) as process:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/health/liveliness"), process)
        yield port


def _answers(url):
    with contextlib.suppress(httpx2.TransportError):
        return httpx2.get(url).status_code == 200


@pytest.mark.slow
@pytest.mark.skipif(LITELLM is None, reason="needs LiteLLM's proxy: its command on the path, or in PROUTER_LITELLM")
def test_a_real_proxy_routes_each_user_by_its_thumbs(tmp_path):
    keys = {"PROUTER_KEYS": key_lines().replace("\n", ",")}
    service = [sys.executable, str(ROOT / "tests" / "serve_process.py"), str(tmp_path / "state.sqlite")]
    log = tmp_path / "service.log"
    with run_stub_llms() as llms, _process(service, log, PYTHONPATH=str(ROOT), **keys) as process:
        wait_for(lambda: "started" in log.read_text(), process)
        port = int(re.search(r'"port": (\d+)', log.read_text())[1])
        with (
            _gateway(tmp_path, llms, port) as gateway,
            openai.OpenAI(base_url=f"http://127.0.0.1:{gateway}/v1", api_key="sk-test", max_retries=0) as client,
        ):
            _check_proxy(client, llms, f"http://127.0.0.1:{port}", process)


def _check_proxy(client, llms, service, process):
    def ask(user, **more):
        messages = [{"role": "user", "content": "Hello"}]
        return client.chat.completions.with_raw_response.create(model="auto", user=user, messages=messages, **more)

    def answer(user):
        return ask(user).parse().choices[0].message.content

    key = {"Authorization": "Bearer the gateway's key"}
    for user, liked in (("ann", "cedar"), ("bob", "birch")):
        for number in range(10):
            thumb = {"user": user, "query": f"question {number}", "model": liked, "thumb": "up"}
            assert httpx2.post(f"{service}/v1/feedback", json=thumb, headers=key).status_code == 200
    assert (answer("ann"), answer("bob")) == ("I am cedar", "I am birch")
    decision = ask("ann").headers["x-prouter-decision-id"]
    thumb = {"user": "ann", "decision_id": decision, "thumb": "up"}
    assert httpx2.post(f"{service}/v1/feedback", json=thumb, headers=key).status_code == 200

    def served():
        found = httpx2.get(f"{service}/v1/users/ann?export=true", headers=key).json()["served"]
        return [row for row in found if row["decision_id"] == decision]

    (row,) = wait_for(served)
    assert (row["llm"], row["input_tokens"], row["output_tokens"]) == ("cedar", 11, 7)
    assert row["latency"] > 0
    with client.chat.completions.create(model="auto", user="ann", stream=True, messages=[_hello()]) as stream:
        assert "".join(piece.choices[0].delta.content or "" for piece in stream if piece.choices) == "I am cedar"
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    called = ask("bob", tools=[tool]).parse().choices[0].message.tool_calls[0].function.name
    assert called == "weather"
    llms.down.add("cedar")
    assert answer("ann") in ("I am alder", "I am birch")  # the next of our ranking
    llms.down.clear()
    process.kill()
    assert answer("bob").startswith("I am ")
    assert "x-prouter-decision-id" not in ask("bob").headers


def _hello():
    return {"role": "user", "content": "Hello"}
