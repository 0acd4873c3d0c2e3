"""A Hub on this machine: repositories in memory, faults on demand, and clients in processes of their own."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class HubServer:
    """Repositories as `{name: {revision: {file: content}}}`; a revision is "main", a branch or a past commit.

    `cut` names files whose next download breaks off in the middle; `locked` repositories refuse writers,
    `gated` ones readers, and `token` is the only one that is taken, if set.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, dict[str, bytes]]] = {}
        self.cut: set[str] = set()
        self.locked: set[str] = set()
        self.private: set[str] = set()
        self.gated: set[str] = set()
        self.token: str | None = None
        self.requests: list[str] = []

    def add(self, name: str, folder: Path, revision: str = "main") -> None:
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        self.repositories.setdefault(name, {})[revision] = files

    def commit(self, name: str, revision: str) -> str:
        """Name of the state of a revision: the hash of what it holds."""
        if len(revision) == 40:
            return revision
        files = self.repositories[name][revision]
        contents = {file: hashlib.sha1(content).hexdigest() for file, content in sorted(files.items())}
        return hashlib.sha1(json.dumps(contents).encode()).hexdigest()

    def files(self, name: str, revision: str) -> dict[str, bytes] | None:
        revisions = self.repositories.get(name, {})
        for known, files in revisions.items():
            if revision in (known, self.commit(name, known)):
                return files
        return None

    @contextmanager
    def running(self) -> Iterator[str]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                hub.answer_get(self, with_body=False)

            def do_GET(self) -> None:
                hub.answer_get(self, with_body=True)

            def do_POST(self) -> None:
                hub.answer_post(self)

            def log_message(self, *args: object) -> None:
                pass

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_port}"
        finally:
            httpd.shutdown()
            httpd.server_close()

    def answer_get(self, handler: BaseHTTPRequestHandler, *, with_body: bool) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        parts = handler.path.partition("?")[0].strip("/").split("/")
        if self.token is not None and handler.headers.get("Authorization") != f"Bearer {self.token}":
            refusal = {"X-Error-Message": "Invalid credentials in Authorization header"}
            return _send(handler, b"{}", 401, headers=refusal, with_body=with_body)
        if any("/".join(parts[start : start + 2]) in self.gated for start in (0, 2)):
            return _send(handler, b"{}", 403, headers={"X-Error-Code": "GatedRepo"}, with_body=with_body)
        if parts[:2] == ["api", "models"] and len(parts) >= 6:
            name, kind, revision = "/".join(parts[2:4]), parts[4], parts[5]
            files = self.files(name, revision)
            if files is not None and kind == "revision":
                siblings = [{"rfilename": file} for file in sorted(files)]
                reply = {"id": name, "sha": self.commit(name, revision), "siblings": siblings}
                return _send(handler, json.dumps(reply).encode(), with_body=with_body)
            if files is not None and kind == "tree":
                tree = [
                    {"type": "file", "path": file, "size": len(content), "oid": "0" * 40}
                    for file, content in sorted(files.items())
                ]
                return _send(handler, json.dumps(tree).encode(), with_body=with_body)
        elif len(parts) >= 5 and parts[2] == "resolve":
            name, revision, file = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
            content = (self.files(name, revision) or {}).get(file)
            if content is not None:
                headers = {
                    "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
                    "X-Repo-Commit": self.commit(name, revision),
                    "Accept-Ranges": "bytes",
                }
                start = _range_start(handler)
                if with_body and file in self.cut:
                    self.cut.remove(file)
                    return _send(handler, content, headers=headers, sent=len(content) // 2)
                status = 206 if start else 200
                if start:
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                return _send(handler, content[start:], status, headers=headers, with_body=with_body)
            if self.files(name, revision) is not None:
                return _send(handler, b"{}", 404, headers={"X-Error-Code": "EntryNotFound"})
        known = "/".join(parts[:2] if "resolve" in parts else parts[2:4]) in self.repositories
        missing = {"X-Error-Code": "RevisionNotFound" if known else "RepoNotFound"}
        return _send(handler, b"{}", 404, headers=missing, with_body=with_body)

    def answer_post(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append(f"{handler.command} {handler.path}")
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        parts = handler.path.partition("?")[0].strip("/").split("/")
        if parts == ["api", "repos", "create"]:
            request = json.loads(body)
            name = request.get("name", "")
            name = f"{request['organization']}/{name}" if request.get("organization") else name
            if name in self.locked:
                return _send(handler, b'{"error": "no rights"}', 403)
            status = 409 if name in self.repositories else 200
            if status == 200 and (request.get("private") or request.get("visibility") == "private"):
                self.private.add(name)
            self.repositories.setdefault(name, {"main": {}})
            url = f"http://{handler.headers['Host']}/{name}"
            return _send(handler, json.dumps({"url": url, "id": name}).encode(), status)
        if parts[:2] != ["api", "models"]:
            return _send(handler, b"{}")  # the check of a model card
        name, kind, revision = "/".join(parts[2:4]), parts[4], parts[5]
        if kind == "branch":
            taken = revision in self.repositories[name]
            self.repositories[name].setdefault(revision, dict(self.repositories[name]["main"]))
            return _send(handler, b"{}", 409 if taken else 200)
        if kind == "preupload":
            asked = json.loads(body)["files"]
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in asked]
            return _send(handler, json.dumps({"files": files}).encode())
        for line in body.decode().splitlines():
            entry: dict[str, Any] = json.loads(line)
            if entry["key"] == "file":
                content = base64.b64decode(entry["value"]["content"])
                self.repositories[name][revision][entry["value"]["path"]] = content
        oid = self.commit(name, revision)
        self.repositories[name][oid] = dict(self.repositories[name][revision])
        reply = {
            "success": True,
            "commitOid": oid,
            "commitUrl": f"http://{handler.headers['Host']}/{name}/commit/{oid}",
        }
        return _send(handler, json.dumps(reply).encode())


PRELUDE = """
import json, sys
from pathlib import Path

report = {}

def attempt(name, function, *args, **options):
    try:
        report[name] = {"value": str(function(*args, **options))}
    except Exception as error:
        report[name] = {"error": type(error).__name__, "message": str(error)}
"""


def run_client(code: str, address: str, home: Path, *arguments: str, **variables: str) -> Any:
    """What `code` puts into `report` in a fresh process, whose Hub is `address` and whose cache is `home`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": address,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_TOKEN": "hf_fake",
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
        **variables,
    }
    result = subprocess.run(
        [sys.executable, "-c", f"{PRELUDE}\n{code}\nprint(json.dumps(report))", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def _range_start(handler: BaseHTTPRequestHandler) -> int:
    header = handler.headers.get("Range", "")
    return int(header.removeprefix("bytes=").partition("-")[0] or 0) if header.startswith("bytes=") else 0


def _send(
    handler: BaseHTTPRequestHandler,
    body: bytes,
    status: int = 200,
    *,
    headers: dict[str, str] | None = None,
    with_body: bool = True,
    sent: int | None = None,
) -> None:
    """Reply; with `sent` only so many bytes of the body before the connection breaks."""
    handler.send_response(status)
    for key, value in (headers or {}).items():
        handler.send_header(key, value)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if with_body:
        handler.wfile.write(body[:sent])
    if sent is not None:
        handler.close_connection = True
