"""Where models are found: bundled, in a folder, on a Hub, which is a server on this machine."""

from pathlib import Path

import pytest
from hub.parts import Affine
from hub.server import HubServer, run_client

from diff4splat.hub import list_bundled, resolve_file, resolve_pretrained


@pytest.fixture
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "package" / "weights"
    Affine(5).save_pretrained(folder / "tiny" / "part")
    monkeypatch.setattr("diff4splat.hub.resolve._BUNDLED", folder)
    return folder


def refuse(name: str, **options: object) -> None:
    pytest.fail("the Hub was asked")


def test_order_of_resolution(bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "diff4splat.hub.resolve._fetch", lambda name, **options: pytest.fail("the Hub was asked")
    )
    assert list_bundled() == ["tiny"]
    (tmp_path / "tiny").mkdir()
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert resolve_pretrained("tiny") == bundled / "tiny"
    assert resolve_pretrained("./tiny").resolve() == tmp_path / "tiny"
    assert resolve_pretrained(tmp_path / "tiny") == tmp_path / "tiny"
    assert resolve_pretrained("owner/name") == Path("owner/name")
    assert resolve_pretrained("tiny", subfolder="part") == bundled / "tiny" / "part"
    assert Affine.from_pretrained("tiny", subfolder="part").first.in_features == 5


@pytest.mark.parametrize("name", ["huge", "./huge", "/no/such/folder", "a/b/c", "../x", "~/nothing-here", ""])
def test_unknown_names_say_what_was_looked_for(
    bundled: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "diff4splat.hub.resolve._fetch", lambda name, **options: pytest.fail("the Hub was asked")
    )
    with pytest.raises(FileNotFoundError, match=r"bundled: \['tiny'\].*is not a folder.*owner/name"):
        resolve_pretrained(name)


def test_a_revision_of_what_is_not_on_the_hub_is_refused(bundled: Path, tmp_path: Path) -> None:
    for name in ("tiny", tmp_path):
        with pytest.raises(ValueError, match="revision must be None for what is not on the Hub, got 'v1'"):
            resolve_pretrained(name, revision="v1")


def test_missing_subfolder(bundled: Path) -> None:
    with pytest.raises(FileNotFoundError, match="has no folder 'other'"):
        resolve_pretrained("tiny", subfolder="other")


@pytest.fixture
def server(tmp_path: Path) -> HubServer:
    """A Hub with org/tiny: one part, and files that nobody asked for."""
    folder = tmp_path / "served"
    Affine(5).save_pretrained(folder / "part")
    (folder / "notes.txt").write_text("not asked for")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02")
    hub = HubServer()
    hub.add("org/tiny", folder)
    return hub


def test_hub(server: HubServer, tmp_path: Path) -> None:
    code = """
from diff4splat.hub import resolve_pretrained

heavy = "huggingface_hub" in sys.modules
attempt("local", resolve_pretrained, sys.argv[1])
report["lazy"] = not heavy and "huggingface_hub" not in sys.modules
attempt("offline miss", resolve_pretrained, "org/tiny", local_files_only=True)
attempt("folder", resolve_pretrained, "org/tiny", subfolder="part")
attempt("again", resolve_pretrained, "org/tiny", subfolder="part", local_files_only=True)
attempt("missing", resolve_pretrained, "org/none")
root = Path(report["folder"]["value"]).parent
report["files"] = sorted(p.name for p in root.rglob("*") if p.is_file())
"""
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home", str(tmp_path))
    assert report["lazy"] and report["local"]["value"] == str(tmp_path)
    assert report["offline miss"]["error"] == "FileNotFoundError"
    assert "the Hub cache did not give it" in report["offline miss"]["message"]
    assert report["missing"]["message"].startswith("no model 'org/none'")
    commit = server.commit("org/tiny", "main")
    assert report["folder"]["value"].endswith(f"{commit}/part")
    assert report["again"] == report["folder"]
    assert report["files"] == ["config.json", "model.safetensors"]
    assert Affine.from_pretrained(report["folder"]["value"]).first.in_features == 5
    # nothing before it asked the network
    assert server.requests[0].startswith("GET /api/models/org/tiny/revision/main")
    assert not any("pytorch_model.bin" in request or "notes.txt" in request for request in server.requests)


def test_a_revision_is_what_is_loaded(server: HubServer, tmp_path: Path) -> None:
    Affine(7).save_pretrained(tmp_path / "later" / "part")
    server.add("org/tiny", tmp_path / "later", revision="wide")
    code = """
from hub.parts import Affine

def width(revision):
    return Affine.from_pretrained("org/tiny", subfolder="part", revision=revision).first.in_features

for revision in (None, "wide", sys.argv[1], "gone"):
    attempt(str(revision), width, revision)
"""
    pinned = server.commit("org/tiny", "wide")
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home", pinned)
    assert (report["None"]["value"], report["wide"]["value"], report[pinned]["value"]) == ("5", "7", "7")
    assert report["gone"]["error"] == "FileNotFoundError" and "org/tiny" in report["gone"]["message"]


def test_without_network_what_was_fetched_still_loads(server: HubServer, tmp_path: Path) -> None:
    code = """
from hub.parts import Affine

attempt("load", lambda: Affine.from_pretrained("org/tiny", subfolder="part").first.in_features)
attempt("other", lambda: Affine.from_pretrained("org/other"))
"""
    with server.running() as address:
        assert run_client(code, address, tmp_path / "home")["load"]["value"] == "5"
        asked = len(server.requests)
        offline = run_client(code, address, tmp_path / "home", HF_HUB_OFFLINE="1")
        assert len(server.requests) == asked, "offline means offline"
    unplugged = run_client(code, address, tmp_path / "home")  # the server is gone
    for report in (offline, unplugged):
        assert report["load"]["value"] == "5"
        assert report["other"]["error"] == "FileNotFoundError"
        assert report["other"]["message"].startswith("no model 'org/other'")


def test_a_download_that_breaks_off_leaves_nothing_that_loads_and_is_made_good(
    server: HubServer, tmp_path: Path
) -> None:
    code = """
from hub.parts import Affine

def load():
    return Affine.from_pretrained("org/tiny", subfolder="part").first.weight.double().sum().item()

attempt("first", load)
attempt("second", load)
"""
    server.cut.add("part/model.safetensors")
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home")
    expected = Affine.from_pretrained(tmp_path / "served" / "part").first.weight.double().sum().item()
    # the client may try again by itself; if it gives up, the error says which model is missing
    assert report["first"].get("error", "FileNotFoundError") == "FileNotFoundError"
    assert float(report["second"]["value"]) == expected
    downloads = [request for request in server.requests if request.startswith("GET") and "resolve" in request]
    assert sum("model.safetensors" in request for request in downloads) == 2, "one was cut, one was whole"


def test_damaged_repositories_are_refused(server: HubServer, tmp_path: Path) -> None:
    whole = server.repositories["org/tiny"]["main"]
    Affine(5).save_pretrained(tmp_path / "other")
    swapped = (tmp_path / "other" / "model.safetensors").read_bytes()
    config, weights = "part/config.json", "part/model.safetensors"
    unsigned = whole[config].replace(b'"_weights_sha256"', b'"name"')
    server.repositories |= {
        "org/swapped": {"main": {**whole, weights: swapped}},
        "org/pickle": {"main": {**whole, config: unsigned, weights: b"\x80\x04\x95" + bytes(61)}},
        "org/no-weights": {"main": {config: whole[config]}},
        "org/no-config": {"main": {weights: whole[weights]}},
    }
    code = """
from hub.parts import Affine
for name in ("swapped", "pickle", "no-weights", "no-config"):
    attempt(name, Affine.from_pretrained, f"org/{name}", subfolder="part")
"""
    with server.running() as address:
        report = run_client(code, address, tmp_path / "home")
    errors = {name: (result.get("error"), result["message"]) for name, result in report.items()}
    assert errors["swapped"][0] == "ValueError" and "its SHA-256 differs" in errors["swapped"][1]
    assert errors["pickle"][0] == "ValueError" and "pickle" in errors["pickle"][1]
    assert errors["no-weights"][0] == "FileNotFoundError" and "model.safetensors" in errors["no-weights"][1]
    assert errors["no-config"][0] == "FileNotFoundError" and "config.json" in errors["no-config"][1]


def test_a_folder_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # on Windows
    (tmp_path / "model").mkdir()
    assert resolve_pretrained("~/model") == tmp_path / "model"


def test_one_file_of_a_folder(bundled: Path, tmp_path: Path) -> None:
    expected = bundled / "tiny" / "part" / "config.json"
    assert (
        resolve_file("tiny", "part/config.json")
        == resolve_file(bundled / "tiny", "part/config.json")
        == expected
    )
    with pytest.raises(FileNotFoundError, match="tiny has no file 'config.json'"):
        resolve_file("tiny", "config.json")
    with pytest.raises(FileNotFoundError, match="no model './nowhere'"):
        resolve_file("./nowhere", "config.json")
    with pytest.raises(ValueError, match="revision must be None"):
        resolve_file("tiny", "part/config.json", revision="main")
