"""A bucket in the memory of the test process: gs:// for fsspec, and Google's HTTP interface to it for TensorStore.

As in a real bucket there are no folders, an object appears whole, and nothing can be renamed.
"""

import contextlib
import http.server
import json
import re
import threading
import urllib.parse

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class Bucket(MemoryFileSystem):
    """What fsspec, and so etils.epath, takes for Google's storage once it is registered."""

    protocol = ("gs", "gcs")
    root_marker = ""
    store: dict = {}  # noqa: RUF012 (one for all instances, as a bucket is)
    pseudo_dirs: list = []  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path):
        return "/" + str(path).removeprefix("gs://").strip("/")

    def makedirs(self, path, exist_ok=False):
        pass

    def mkdir(self, path, create_parents=True, **kwargs):
        pass

    def mv(self, *_, **__):
        raise AssertionError("a bucket has no renames")

    rename = move = mv


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet
    server: "_Server"

    def log_message(self, format, *args):
        pass

    def handle_expect_100(self):
        go_on = super().handle_expect_100()
        self.wfile.flush()
        return go_on

    def do_GET(self):
        place, query = self._place()
        if place is None:
            return self._list(query)
        if place not in Bucket.store:
            return self._send(404)
        if query.get("ifGenerationNotMatch") == _generation(place):
            return self._send(304)
        if query.get("alt") != "media":
            return self._send(200, json.dumps(_metadata(place)).encode())
        content = Bucket.store[place].getvalue()
        if wanted := self.headers.get("Range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            part = content[int(first) : int(last) + 1 if last else None]
            span = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
            return self._send(206, part, _headers(place) | {"Content-Range": span})
        return self._send(200, content, _headers(place))

    def do_POST(self):
        _, query = self._place()
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path.startswith("/batch/"):
            return self._batch(content.decode())
        if "upload_id" in query:
            return self._resume(int(query["upload_id"]), content)
        name = query["name"]
        if query.get("uploadType") == "resumable":  # the content comes later, to the place that is answered
            self.server.uploads.append(f"/{self._bucket()}/{name}")
            place = f"http://{self.headers['Host']}/resumable?upload_id={len(self.server.uploads) - 1}"
            return self._send(200, headers={"Location": place})
        return self._put(f"/{self._bucket()}/{name}", content, query)

    def _resume(self, number, content):
        self.server.parts[number] = self.server.parts.get(number, b"") + content
        if self.headers["Content-Range"].endswith("/*"):
            return self._send(308, headers={"Range": f"bytes=0-{len(self.server.parts[number]) - 1}"})
        return self._put(self.server.uploads[number], self.server.parts.pop(number), {})

    def do_DELETE(self):
        place, _ = self._place()
        return self._send(204 if Bucket.store.pop(place, None) else 404)

    def _put(self, place, content, query):
        found = _generation(place) if place in Bucket.store else "0"
        if query.get("ifGenerationMatch", found) != found:
            return self._send(412)
        Bucket().pipe_file(place, content)
        return self._send(200, json.dumps(_metadata(place)).encode())

    def _batch(self, text):
        """Deletions, each answered for itself."""
        answers = []
        for path in re.findall(r"DELETE (\S+)", text):
            bucket, _, name = path.partition("/b/")[2].partition("/o/")
            gone = Bucket.store.pop(f"/{bucket}/{urllib.parse.unquote(name).partition('?')[0]}", None)
            answers.append(f"--x\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {204 if gone else 404} OK\r\n\r\n")
        headers = {"Content-Type": "multipart/mixed; boundary=x"}
        return self._send(200, ("".join(answers) + "--x--").encode(), headers)

    def _list(self, query):
        start, delimiter = query.get("prefix", ""), query.get("delimiter")
        items, folders = [], set()
        for place in sorted(Bucket.store):
            name = place.removeprefix(f"/{self._bucket()}/")
            head, found, _ = name.removeprefix(start).partition(delimiter) if delimiter else (name, "", "")
            if name != place and name.startswith(start):
                folders.add(start + head + found) if found else items.append(_metadata(place))
        listed = {"kind": "storage#objects", "items": items, "prefixes": sorted(folders)}
        return self._send(200, json.dumps(listed).encode())

    def _bucket(self):
        return urllib.parse.urlsplit(self.path).path.partition("/b/")[2].split("/")[0]

    def _place(self):
        parts = urllib.parse.urlsplit(self.path)
        _, _, rest = parts.path.partition("/b/")
        bucket, _, name = rest.partition("/o/")
        place = f"/{bucket}/{urllib.parse.unquote(name)}" if name else None
        return place, dict(urllib.parse.parse_qsl(parts.query))

    def _send(self, status, content=b"", headers=None):
        self.send_response(status)
        for name, value in (headers or {"Content-Type": "application/json"}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _generation(place):
    return str(int(Bucket.store[place].modified.timestamp() * 1e6))


def _headers(place):
    return {"Content-Type": "application/octet-stream", "x-goog-generation": _generation(place)}


def _metadata(place):
    _, bucket, name = place.split("/", 2)
    size, generation = str(Bucket.store[place].size), _generation(place)
    return {"kind": "storage#object", "bucket": bucket, "name": name, "size": size, "generation": generation}


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.uploads, self.parts = [], {}


@contextlib.contextmanager
def serve_bucket():
    """Registers the bucket with fsspec and serves it to TensorStore; yields the URL of the server."""
    server = _Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with contextlib.ExitStack() as stack:
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        for name in Bucket.protocol:
            fsspec.register_implementation(name, Bucket, clobber=True)
        yield f"http://127.0.0.1:{server.server_port}"
