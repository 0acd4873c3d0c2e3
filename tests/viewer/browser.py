"""Chromium without a window, driven through its debugging pipe with the standard library alone."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--disable-gpu-shader-disk-cache",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


class Browser:
    """One browser process; `open` gives pages."""

    def __init__(self, binary: str) -> None:
        self.profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        # The browser reads commands from descriptor 3 and answers on 4; numbers from 20 on do not collide.
        ends = []
        for end in (*os.pipe(), *os.pipe()):
            ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20))
            os.close(end)
        read_commands, self.commands, self.answers, write_answers = ends

        def connect() -> None:
            os.dup2(read_commands, 3)
            os.dup2(write_answers, 4)

        self.process = subprocess.Popen(
            [binary, *FLAGS, f"--user-data-dir={self.profile.name}", "about:blank"],
            preexec_fn=connect,
            close_fds=False,  # Python's own descriptors are not inherited anyway
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_commands)
        os.close(write_answers)
        self.received = b""
        self.number = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, *, session: str | None = None, timeout: float = 60.0, **params: Any) -> Any:
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        number, deadline = self.number, time.monotonic() + timeout
        while True:
            answer = self._next_message(deadline, method)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next_message(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self.received:
            ready, _, _ = select.select([self.answers], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                raise TimeoutError(f"the browser did not answer {method}")
            part = os.read(self.answers, 1 << 20)
            if not part:
                raise RuntimeError("the browser ended")
            self.received += part
        message, _, self.received = self.received.partition(b"\0")
        return json.loads(message)

    def open(
        self, path: Path, *, width: int = 480, height: int = 360, before: str = "", fragment: str = ""
    ) -> "Page":
        """A page on a local file; `before` runs before its own scripts, `fragment` follows its address."""
        return Page(self, path, width, height, before, fragment)

    def close(self) -> None:
        try:
            self.call("Browser.close", timeout=10)
            self.process.wait(10)
        except (TimeoutError, RuntimeError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
        self.profile.cleanup()


class Page:
    """One tab on one local file; remembers requests, and what was written to the console."""

    def __init__(
        self, browser: Browser, path: Path, width: int, height: int, before: str, fragment: str
    ) -> None:
        self.browser = browser
        target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        if before:
            self.call("Page.addScriptToEvaluateOnNewDocument", source=before)
        self.url = path.resolve().as_uri()
        self.call("Page.navigate", url=self.url + fragment)
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")

    def call(self, method: str, **params: Any) -> Any:
        return self.browser.call(method, session=self.session, **params)

    def resize(self, width: int, height: int, *, density: float = 1, mobile: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": density, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def wait_for(self, condition: str, timeout: float = 60.0) -> None:
        deadline = time.monotonic() + timeout
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {condition}")
            time.sleep(0.02)

    def key(self, key: str, code: str = "", *, modifiers: int = 0) -> None:
        """Press a key and let it go; modifiers are 1 alt, 2 control, 8 shift."""
        values = {"key": key, "code": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **values)
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def hold(self, key: str, code: str, condition: Callable[[], object], *, modifiers: int = 0) -> None:
        """Hold a key until something is true, however long a slow machine takes."""
        values = {"key": key, "code": code, "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **values)
        until(condition, f"{key} has its effect")
        self.call("Input.dispatchKeyEvent", type="keyUp", **values)

    def settle(self) -> None:
        """Until the page has drawn what changed."""
        self.evaluate("diff4splat.drawn()")

    def drag(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        *,
        button: str = "left",
        modifiers: int = 0,
    ) -> None:
        held = {"left": 1, "right": 2, "middle": 4}[button]
        for kind, (x, y), buttons in (
            ("mousePressed", start, held),
            ("mouseMoved", end, held),
            ("mouseReleased", end, 0),
        ):
            where = {"x": x, "y": y, "button": button, "buttons": buttons, "modifiers": modifiers}
            self.call("Input.dispatchMouseEvent", type=kind, clickCount=1, **where)

    def touch(self, steps: list[list[tuple[float, float]]]) -> None:
        """Fingers that come down, move along and lift together."""
        for index, fingers in enumerate(steps):
            points = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(fingers)]
            kind = "touchMove" if index else "touchStart"
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def wheel(self, x: float, y: float, amount: float) -> None:
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=amount)

    def canvas(self) -> np.ndarray:
        """Pixels of the canvas, height x width x rgb, in [0, 1]."""
        address = self.evaluate("document.querySelector('canvas').toDataURL('image/png')")
        return _pixels(base64.b64decode(address.partition(",")[2]))

    def screenshot(self, path: Path | None = None) -> np.ndarray:
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return _pixels(data)

    def requests(self) -> list[str]:
        """Addresses the page asked for, itself first."""
        return [event["params"]["request"]["url"] for event in self._events("Network.requestWillBeSent")]

    def complaints(self) -> list[Any]:
        """Everything written to the console, and uncaught errors."""
        self.evaluate("0")  # collects what is under way
        names = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for name in names for event in self._events(name)]

    def _events(self, name: str) -> list[dict[str, Any]]:
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [event for event in mine if event.get("method") == name]

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self.target)


def until(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for something to come true; long, for machines that are slow or busy."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"never true: {what}")
        time.sleep(0.02)


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(png)).convert("RGB"), dtype=np.float64) / 255
