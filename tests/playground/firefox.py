"""Firefox by its own remote protocol, WebDriver BiDi: Debian has a driver for Chromium, and none for Firefox."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEYS = {"ArrowRight": "\ue014", "ArrowUp": "\ue013", "End": "\ue010", "Enter": "\ue007", "Tab": "\ue004"}
CONTROL = "\ue009"


class Firefox:
    """A headless Firefox with one page. What it is asked to evaluate comes back as JSON."""

    def __init__(self, program: str, profile: Path) -> None:
        import websocket

        command = [program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port=0"]
        said = profile / "said.txt"
        with said.open("w") as output:
            self.process = subprocess.Popen(command, stderr=output, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while (found := re.search(r"BiDi listening on (ws://\S+)\n", said.read_text())) is None:
            assert time.monotonic() < end, said.read_text()
            time.sleep(0.05)
        address = found[1]
        self.socket = websocket.create_connection(f"{address}/session", suppress_origin=True, timeout=60)
        self.numbers = itertools.count(1)
        self.errors: list[str] = []
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.context = self.ask("browsingContext.create", type="window")["context"]  # the first one never has the focus
        assert self.evaluate("document.hasFocus()")

    def ask(self, method: str, **parameters: Any) -> Any:
        """Carry out a command of the protocol; what is logged as an error meanwhile is kept."""
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.errors.append(answer["params"]["text"])
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, address: str) -> None:
        for each in ("about:blank", address):  # so that another link alone is a new page too
            self.ask("browsingContext.navigate", context=self.context, url=each, wait="complete")

    def size(self, width: int, height: int) -> None:
        self.ask("browsingContext.setViewport", context=self.context, viewport={"width": width, "height": height})

    def evaluate(self, expression: str) -> Any:
        target = {"context": self.context}
        text = f"(async () => JSON.stringify([await (() => {expression})()]))()"
        answer = self.ask("script.evaluate", expression=text, target=target, awaitPromise=True, userActivation=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])[0]

    def text(self, selector: str) -> str:
        return str(self.evaluate(f"document.querySelector({selector!r}).textContent"))

    def wait(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.05)

    def middle(self, selector: str) -> tuple[int, int]:
        x, y = self.evaluate(
            f"""{{ const e = document.querySelector({selector!r});
            e.scrollIntoView({{ block: "center" }});
            const b = e.getBoundingClientRect();
            return [b.x + b.width / 2, b.y + b.height / 2]; }}"""
        )
        return round(x), round(y)

    def drag(self, selector: str, across: int, upward: int, start: int = 0) -> None:
        """Press at an element's middle, or so far from it, and pull; with no way to go, click."""
        x, y = self.middle(selector)
        self.perform(
            "pointer",
            {"type": "pointerMove", "x": x + start, "y": y},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": x + start + across, "y": y - upward, "duration": 60},
            {"type": "pointerUp", "button": 0},
        )

    def click(self, selector: str) -> None:
        self.drag(selector, 0, 0)

    def press(self, *keys: str) -> None:
        """Keys for what has the focus, one after the other; those of a name like Control+z together."""
        actions = []
        for key in keys:
            codes = [
                CONTROL if k == "Control" else KEYS.get(k, k) for k in ([key] if len(key) == 1 else key.split("+"))
            ]
            actions += [{"type": "keyDown", "value": c} for c in codes]
            actions += [{"type": "keyUp", "value": c} for c in reversed(codes)]
        self.perform("key", *actions)

    def perform(self, kind: str, *actions: dict[str, Any]) -> None:
        source = {"type": kind, "id": kind, "actions": list(actions)}
        self.ask("input.performActions", context=self.context, actions=[source])

    def close(self) -> None:
        self.ask("browser.close")
        self.socket.close()
        self.process.wait(20)
