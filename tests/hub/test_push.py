"""Models put on a Hub, which is a server on this machine."""

from pathlib import Path

import pytest
from hub.server import HubServer, run_client

from diff4splat.hub import push_folder

CODE = """
from hub.parts import Affine
from diff4splat.hub import push_folder

module = Affine(5)
attempt("commit", module.push_to_hub, "org/new")
attempt("branch", module.push_to_hub, "org/new", branch="half", dtype=__import__("torch").float16)
attempt("again", module.push_to_hub, "org/new")
attempt("hidden", module.push_to_hub, "org/hidden", private=True)
attempt("locked", module.push_to_hub, "org/locked")

def same(revision):
    loaded = Affine.from_pretrained("org/new", revision=revision)
    return (loaded.first.weight - module.first.weight).abs().max().item()

attempt("same", same, report["commit"].get("value"))
attempt("rounded", same, "half")
folder = Path(sys.argv[1])
module.save_pretrained(folder / "part")
(folder / "README.md").write_text("# A model")
(folder / "notes.txt").write_text("stays here")
attempt("folder", push_folder, folder, "org/parts")
"""


def test_what_is_pushed_is_what_is_loaded(tmp_path: Path) -> None:
    server = HubServer()
    server.locked.add("org/locked")
    with server.running() as address:
        report = run_client(CODE, address, tmp_path / "home", str(tmp_path / "model"))
    main = server.repositories["org/new"]["main"]
    assert set(main) == {"config.json", "model.safetensors"}
    assert report["commit"]["value"] == report["again"]["value"] == server.commit("org/new", "main")
    assert float(report["same"]["value"]) == 0
    assert 0 < float(report["rounded"]["value"]) < 1e-3
    half = server.repositories["org/new"]["half"]["model.safetensors"]
    assert len(half) < len(main["model.safetensors"])
    assert server.private == {"org/hidden"} and "value" in report["hidden"]
    assert report["locked"]["error"] == "PermissionError"
    assert "hf auth login" in report["locked"]["message"] and "org/locked" in report["locked"]["message"]
    pushed = server.repositories["org/parts"]["main"]
    assert set(pushed) == {"README.md", "part/config.json", "part/model.safetensors"}


def test_without_a_hub_the_error_names_the_repository(tmp_path: Path) -> None:
    code = """
from hub.parts import Affine
attempt("push", Affine(5).push_to_hub, "org/new")
"""
    report = run_client(code, "http://127.0.0.1:9", tmp_path / "home")
    assert report["push"]["error"] == "OSError"
    assert report["push"]["message"].startswith("the Hub did not take 'org/new'")


def test_what_is_no_model_or_no_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="folder must hold a saved model"):
        push_folder(tmp_path, "org/new")
    (tmp_path / "model.safetensors").write_bytes(b"")
    for name in ("new", "a/b/c", ""):
        with pytest.raises(ValueError, match="repository must be a Hub id of the form owner/name"):
            push_folder(tmp_path, name)
