"""What can be run, and what is missing for it."""

import json
from pathlib import Path

import pytest

from diff4splat.catalog import registry
from diff4splat.catalog.registry import (
    KNOWN_MODELS,
    bytes_to_download,
    find_model,
    list_models,
    missing_for,
)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_every_entry_is_whole() -> None:
    for name, model in KNOWN_MODELS.items():
        assert model.name == name and model.licence and model.summary and model.num_parameters > 1e6
        assert model.loader.count(":") == 1 and model.code[0].startswith("from ")
        assert (model.repository is None) == (model.download_bytes == 0)
        if model.role == "video model":
            assert model.backbone and model.clip and model.sizes["family"] in ("wan", "cogvideox")


def test_names_repositories_and_kinds() -> None:
    movies = KNOWN_MODELS["movies"]
    assert (
        find_model("movies") is find_model("chenguolin/MoVieS") is find_model("CHENGUOLIN/movies") is movies
    )
    assert find_model("wan2.2-ti2v-5b") is KNOWN_MODELS["wan2.2-ti2v-5b"]
    assert find_model("wan-fun-camera") is None, "three models have it"
    assert find_model("some/other") is None


def test_what_is_missing(empty_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert missing_for(KNOWN_MODELS["compact"]) == []
    model = KNOWN_MODELS["wan2.2-fun-camera-5b"]
    assert "download 23 GB" in missing_for(model)
    found = registry.importlib.util.find_spec
    monkeypatch.setattr(
        registry.importlib.util, "find_spec", lambda name: None if name == "diffusers" else found(name)
    )
    assert missing_for(model)[0] == "pip install diffusers"
    monkeypatch.setattr(registry.importlib.util, "find_spec", found)
    folder = empty_cache / "models--madebyollin--taehv" / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (folder.parents[1] / "refs").mkdir()
    (folder.parents[1] / "refs" / "main").write_text("a" * 40)
    (folder / "taew2_1.safetensors").write_bytes(bytes(1000))
    model = KNOWN_MODELS["taew2_1"]
    assert bytes_to_download(model) == model.download_bytes - 1000
    with (folder / "taew2_1.safetensors").open("wb") as file:  # sparse
        file.truncate(model.download_bytes)
    assert bytes_to_download(model) == 0 and bytes_to_download(KNOWN_MODELS["taew2_2"]) > 0


def test_bundled_routes_are_listed_with_their_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    route = tmp_path / "some-route"
    route.mkdir()
    config = {
        "format_version": 2,
        "backbone": {"kind": "wan-fun-camera", "repository": "alibaba-pai/Wan2.2-Fun-5B-Control-Camera"},
        "reconstructor": {"kind": "movies", "repository": "chenguolin/MoVieS"},
        **{"num_frames": 49, "height": 480, "width": 832, "num_steps": 30},
    }
    (route / "pipeline_config.json").write_text(json.dumps(config))
    monkeypatch.setattr(registry, "list_bundled", lambda: ["compact", "some-route"])
    monkeypatch.setattr(registry, "resolve_pretrained", lambda name: tmp_path / name)
    models = list_models()
    assert [model.name for model in models[:2]] == ["compact", "some-route"]
    assert len({model.name for model in models}) == len(models) == len(KNOWN_MODELS) + 1
    entry = models[1]
    assert entry.parts == ("wan2.2-fun-camera-5b", "movies") and entry.clip == (49, 480, 832)
    assert entry.num_parameters == sum(KNOWN_MODELS[part].num_parameters for part in entry.parts)
    assert "Apache-2.0" in entry.licence and "non-commercial" in entry.licence
    assert any(phrase == "download 27 GB" for phrase in missing_for(entry))
