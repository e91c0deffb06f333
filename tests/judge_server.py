"""A fake OpenAI-compatible server in a thread of the test process; the test decides each response."""

import contextlib
import dataclasses
import http.server
import json
import re
import threading
import time

import numpy as np
import processes

from prouter_jax.config import Judge as JudgeConfig
from prouter_jax.data.interactions import strings
from prouter_jax.llm.judges.base import Questions

USAGE = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}


@dataclasses.dataclass(frozen=True)
class Act:
    """What to do with a request: say `text` as an LLM, or send `body`; `stall` seconds first; or `drop` the line.

    `trickle` seconds pass between the bytes of the body.
    """

    text: str = '{"best": 1}'
    status: int = 200
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    usage: dict | None = dataclasses.field(default_factory=lambda: USAGE)
    stall: float = 0.0
    drop: bool = False
    trickle: float = 0.0

    def content(self) -> bytes:
        if self.body is not None:
            return self.body
        message = {"role": "assistant", "content": self.text}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        head = {"id": "x", "object": "chat.completion", "created": 0, "model": "m"}
        return json.dumps(head | {"choices": choices, "usage": self.usage}).encode()


class JudgeServer:
    """`decide` gets the messages of each request and its number from 0, and returns an `Act`.

    Attributes:
      requests: their bodies, `times` when they came, `authorization` and `headers` theirs.
      most_at_once: requests that were under way together.
    """

    def __init__(self, decide):
        self.decide = decide
        self.requests, self.times, self.authorization, self.headers = [], [], [], []
        self.most_at_once = self._now = 0
        self.lock, self.closing = threading.Lock(), threading.Event()

    def __enter__(self):
        self._http = _Http(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        return self

    def __exit__(self, *_):
        self.closing.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def act(self, body, authorization):
        with self.lock:
            number = len(self.requests)
            self.requests.append(body)
            self.times.append(time.monotonic())
            self.authorization.append(authorization)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        act = self.decide(body["messages"], number)
        self.closing.wait(act.stall)
        with self.lock:
            self._now -= 1
        return act


class _Http(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # clients that gave up or were killed


def _handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.headers.append(self.headers)
            act = server.act(body, self.headers["Authorization"])
            if act.drop:
                return
            content = act.content()
            self.send_response(act.status)
            for name, value in {"Content-Type": act.content_type, **act.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for part in [content] if not act.trickle else (content[at : at + 1] for at in range(len(content))):
                self.wfile.write(part)
                server.closing.wait(act.trickle)

        def log_message(self, *_):
            pass

    return Handler


@contextlib.contextmanager
def serving(monkeypatch, decide, key="sk-very-secret"):
    """A server that the environment names."""
    with JudgeServer(decide) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", key)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


def shown_answers(messages) -> list[str]:
    """The answers of a request in the order in which they stand there."""
    return re.findall(r"<answer \d+[^>]*>\n(.*?)\n</answer", messages[1]["content"], re.DOTALL)


def longest(messages, number) -> Act:
    """The LLM that likes the longest answer."""
    lengths = [len(answer) for answer in shown_answers(messages)]
    return Act(json.dumps({"best": lengths.index(max(lengths)) + 1}))


def make_questions(num_questions: int, num_llms: int = 4) -> Questions:
    """Question q, whose longest answer is that of LLM q modulo their number; no two answers are alike."""
    length = (np.arange(num_llms) - np.arange(num_questions)[:, None] - 1) % num_llms
    answers = np.empty(length.shape, object)
    for (query, llm), extra in np.ndenumerate(length):
        answers[query, llm] = f"answer of {llm} to {query}" + " well" * int(extra)
    unknown = np.full(length.shape, np.nan, np.float32)
    names = (
        strings([f"{kind}{row}" for row in range(count)]) for kind, count in (("q", num_questions), ("m", num_llms))
    )
    ids, llms = names
    texts = strings([f"What is {row}?" for row in range(num_questions)])
    return Questions(ids, texts, llms, answers, unknown, unknown, np.arange(num_questions, dtype=np.int32))


def judge_config(**changes) -> JudgeConfig:
    """An LLM judge that does not wait long."""
    quick = {"name": "llm", "model": "m", "backoff": 0.01, "attempts": 3, "timeout": processes.HANG}
    return JudgeConfig(**(quick | changes))
