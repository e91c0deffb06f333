"""A stub of several LLM servers, in a thread: the path /NAME/... is that of the LLM NAME, which says its name."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator

USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class StubLlms(http.server.ThreadingHTTPServer):
    """The servers; those in `down` fail."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.down: set[str] = set()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.split("/")[1]
        if name in self.server.down:
            self._send(503, "application/json", b'{"error": {"message": "down"}}')
        elif asked.get("stream"):
            pieces = [_chunk(name, {"role": "assistant", "content": text}) for text in ("I am ", name)]
            pieces.append(_chunk(name, {}, finish="stop", usage=USAGE))
            lines = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces)
            self._send(200, "text/event-stream", f"{lines}data: [DONE]\n\n".encode())
        else:
            choice = {"index": 0, "message": _message(name, asked), "finish_reason": "stop"}
            answer = _head(name, "chat.completion") | {"choices": [choice], "usage": USAGE}
            self._send(200, "application/json", json.dumps(answer).encode())

    def log_message(self, *_):
        pass

    def _send(self, status, kind, content):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def run_stub_llms() -> Iterator[StubLlms]:
    """Runs the servers for the length of a with block."""
    with StubLlms() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _head(name, kind):
    return {"id": "x", "object": kind, "created": 0, "model": name}


def _chunk(name, delta, finish=None, **more):
    return _head(name, "chat.completion.chunk") | {
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        **more,
    }


def _message(name, asked):
    """A call of the first tool, if there is one and its result is not there yet."""
    if asked.get("tools") and asked["messages"][-1]["role"] == "user":
        called = {"name": asked["tools"][0]["function"]["name"], "arguments": "{}"}
        return {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": called}]}
    return {"role": "assistant", "content": f"I am {name}"}
