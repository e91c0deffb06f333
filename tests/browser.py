"""Chromium without a window, told what to do through its debugging pipe; for tests of pages."""

import itertools
import json
import os
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


_TRIES, _PAUSE = 1200, 0.05  # seconds; so many that a busy machine passes


class Browser:
    """A page of a browser; a context manager.

    Args:
      url: of the page.
      width: of the window, in pixels.
    """

    def __init__(self, url: str, width: int = 1200):
        self._url, self._width, self._ids = url, width, itertools.count(1)

    def __enter__(self) -> "Browser":
        read, its_write = os.pipe()
        its_read, write = os.pipe()
        flags = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe"
        command = f"exec {CHROMIUM} {flags} --window-size={self._width},900 3<&{its_read} 4>&{its_write}"
        devnull = subprocess.DEVNULL
        self._process = subprocess.Popen(
            ["bash", "-c", command], pass_fds=(its_read, its_write), stdout=devnull, stderr=devnull
        )
        os.close(its_read)
        os.close(its_write)
        self._in, self._out, self._rest = open(write, "wb"), open(read, "rb"), b""
        target = self._call("Target.createTarget", url=self._url)["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        return self

    def __exit__(self, *_) -> None:
        self._in.close()
        self._out.close()
        self._process.kill()
        self._process.wait()

    def run(self, script: str):
        """Returns the value of an expression; a promise is waited for."""
        found = self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def show_as_phone(self, width: int) -> None:
        """Shows the page as a phone of this width does; a window without a screen is never narrower than 500 pixels."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": True}
        self._call("Emulation.setDeviceMetricsOverride", **metrics)

    def wait_for(self, condition: str):
        """Asks until an expression is true, and returns its value; it is not while the page loads."""
        for _ in range(_TRIES):
            try:
                found = self.run(condition)
            except AssertionError:
                found = None
            if found:
                return found
            time.sleep(_PAUSE)
        raise AssertionError(f"expected {condition}, found it never")

    def _call(self, method: str, **params):
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params}
        if hasattr(self, "_session"):
            message["sessionId"] = self._session
        self._in.write(json.dumps(message).encode() + b"\0")
        self._in.flush()
        while True:
            while b"\0" not in self._rest:
                more = self._out.read1()
                assert more, "expected an answer of the browser, found that it ended"
                self._rest += more
            line, _, self._rest = self._rest.partition(b"\0")
            answer = json.loads(line)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]
