"""A tab of Chromium on a page that a server of this machine serves, and its controls."""

import json

from viewer.browser import Browser, Page, until

__all__ = ["ServedPage", "until"]


class ServedPage(Page):
    """Like `Page`, for an address instead of a file."""

    def __init__(self, browser: Browser, address: str, *, width: int = 900, height: int = 600) -> None:
        self.browser = browser
        self.url = f"{address}/?fixedDpr=1"  # or viser draws fewer pixels where the machine is slow
        self.target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.call("Page.navigate", url=self.url)
        self.wait_for("document.readyState === 'complete' && location.protocol === 'http:'")

    def press(self, text: str) -> None:
        """Click the button that says so."""
        found = (
            f"[...document.querySelectorAll('button')].find(b => b.innerText.trim() === {json.dumps(text)})"
        )
        self.wait_for(found)
        self.evaluate(f"{found}.click()")

    def tick(self, label: str) -> None:
        """Click the checkbox beside a label."""
        self.evaluate(f"({self._beside(label)}).querySelector('input[type=checkbox]').click()")

    def choose(self, label: str, option: str) -> None:
        """Take an option of the list beside a label."""
        self.wait_for(self._beside(label))
        self.evaluate(f"({self._beside(label)}).querySelector('input').click()")
        found = (
            "[...document.querySelectorAll('[role=option]')]"
            f".find(o => o.innerText.trim() === {json.dumps(option)} && o.offsetParent)"
        )
        self.wait_for(found)
        self.evaluate(f"{found}.click()")

    def slide(self, label: str, key: str) -> None:
        """Press a key, such as End, on the slider beside a label."""
        self.evaluate(f"({self._beside(label)}).querySelector('[role=slider]').focus()")
        self.key(key, key)

    def enter(self, label: str, text: str) -> None:
        """Type into the box beside a label."""
        self.evaluate(f"(i => (i.focus(), i.select()))(({self._beside(label)}).querySelector('input'))")
        self.call("Input.insertText", text=text)
        self.key("Tab", "Tab")

    def _beside(self, label: str) -> str:
        """The row of the controls that begins with a label."""
        return (
            "(() => { for (const l of document.querySelectorAll('label'))"
            f" if (l.innerText.trim() === {json.dumps(label)}) {{ let row = l;"
            " while (row && !row.querySelector('input, textarea, [role=slider]')) row = row.parentElement;"
            " return row; } })()"
        )

    def errors(self) -> list[str]:
        """Errors in the console, and uncaught ones; notes of viser are none."""
        found = []
        for entry in self.complaints():
            level = entry.get("type") or entry.get("entry", {}).get("level")
            if level not in ("log", "info", "verbose", "warning", "debug"):
                found.append(str(entry)[:500])
        return found
