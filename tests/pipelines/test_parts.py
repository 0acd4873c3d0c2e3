"""Parts of a pipeline that lie elsewhere: named in the configuration, found, checked, and named again."""

import inspect
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hub.server import HubServer, run_client
from pipelines.fake_parts import FakeBackbone, FakeReconstructor, FrameReader
from pipelines.test_image_to_4d import IMAGE, generator, tiny_pipeline

from diff4splat.backbones import LatentSpec, PretrainedReference, register_backbone
from diff4splat.backbones.compact import CompactBackbone
from diff4splat.cameras import trajectory
from diff4splat.hub import HubModule, list_bundled, resolve_pretrained
from diff4splat.hub.resolve import is_hub_id
from diff4splat.models import LDRM
from diff4splat.pipelines import DecodedReconstructor, Diff4SplatPipeline, parts
from diff4splat.pipelines.config import read_pipeline_config

CLIP = {"num_frames": 5, "height": 32, "width": 32, "num_steps": 2}


class TinyAdapter(HubModule):
    def __init__(self, gain: float = 0.0) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.full((), gain))


class Referred(CompactBackbone):
    """A backbone as those of public models are: loaded from a repository, perhaps with a camera adapter."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        name_or_path: str,
        *,
        revision: str | None = None,
        local_files_only: bool = False,
        camera_adapter: Path | None = None,
        shift: float = 1.0,
    ) -> "Referred":
        options = {"revision": revision, "local_files_only": local_files_only}
        loaded = CompactBackbone.from_pretrained(name_or_path, **options)
        backbone = cls(loaded.vae, loaded.dit, shift=shift)
        backbone.camera_adapter = (
            None if camera_adapter is None else TinyAdapter.from_pretrained(camera_adapter)
        )
        return backbone.eval()


register_backbone("referred", Referred.from_pretrained)


def write(folder: Path, **config: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"format_version": 2, "guidance": None, **CLIP, **config}
    (folder / "pipeline_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the repository of a video model, and that of a reconstructor."""
    folder = tmp_path_factory.mktemp("store")
    pipe = tiny_pipeline()
    pipe.backbone.save_pretrained(folder / "video")
    pipe.ldrm.save_pretrained(folder / "ldrm")
    TinyAdapter(0.5).save_pretrained(folder / "adapter")
    return folder


def reference(kind: str, repository: Path | str, **options: Any) -> dict[str, Any]:
    return {"kind": kind, "repository": str(repository), **options}


def test_a_folder_of_references_is_a_whole_pipeline(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "store")
    route = write(
        tmp_path / "store" / "route",
        backbone=reference("referred", "../video", revision=None, shift=2.0),
        reconstructor=reference("ldrm", "../ldrm"),
    )
    pipe = Diff4SplatPipeline.from_pretrained(route)
    assert isinstance(pipe.backbone, Referred) and pipe.backbone.shift == 2.0
    expected = tiny_pipeline()
    for name in ("backbone", "ldrm"):
        for own, other in zip(
            getattr(pipe, name).parameters(), getattr(expected, name).parameters(), strict=True
        ):
            torch.testing.assert_close(own, other, rtol=0, atol=0)
    field = pipe(IMAGE, "forward", "rain", generator=generator())
    assert (
        field.render(trajectory.spiral(2, height=13, width=17), torch.tensor([0.0, 1.0]))
        .color.isfinite()
        .all()
    )
    assert field.metadata["backbone"] == {"kind": "referred", "repository": "video", "revision": None}
    assert field.metadata["reconstructor"] == {"kind": "ldrm", "repository": "ldrm", "revision": None}
    assert "weights_sha256" not in field.metadata, "there are none in the folder"

    copy = tmp_path / "elsewhere" / "copy"
    pipe.save_pretrained(copy)
    assert [path.name for path in copy.iterdir()] == ["pipeline_config.json"]
    words = json.loads((copy / "pipeline_config.json").read_text())
    assert words["backbone"] == reference("referred", "../../store/video", revision=None, shift=2.0)
    (tmp_path / "moved").mkdir()
    for name in ("store", "elsewhere"):  # together they are found at any place
        os.replace(tmp_path / name, tmp_path / "moved" / name)
    again = Diff4SplatPipeline.from_pretrained(tmp_path / "moved" / "elsewhere" / "copy")
    same = again(IMAGE, "forward", "rain", generator=generator())
    torch.testing.assert_close(same.delta_means, field.delta_means, rtol=0, atol=0)


def test_the_plain_folder_of_the_joint_model(store: Path, tmp_path: Path) -> None:
    """`pipeline_config.json`, `ldrm/`, `camera_adapter/` and a reference, as the paper's model is saved."""
    route = write(tmp_path / "route", backbone=reference("referred", store / "video"))
    LDRM.from_pretrained(store / "ldrm").save_pretrained(route / "ldrm")
    assert Diff4SplatPipeline.from_pretrained(route).backbone.camera_adapter is None
    TinyAdapter(0.5).save_pretrained(route / "camera_adapter")
    pipe = Diff4SplatPipeline.from_pretrained(route)
    assert pipe.backbone.camera_adapter.gain.item() == 0.5
    with torch.no_grad():
        pipe.backbone.camera_adapter.gain.fill_(0.75)
        next(pipe.ldrm.parameters()).add_(1)
    pipe.save_pretrained(tmp_path / "trained")
    written = {p.relative_to(tmp_path / "trained").as_posix() for p in (tmp_path / "trained").rglob("*.*")}
    weights = {
        f"{part}/{file}"
        for part in ("ldrm", "camera_adapter")
        for file in ("config.json", "model.safetensors")
    }
    assert written == {"pipeline_config.json", *weights}
    loaded = Diff4SplatPipeline.from_pretrained(tmp_path / "trained")
    assert loaded.backbone.camera_adapter.gain.item() == 0.75
    torch.testing.assert_close(next(loaded.ldrm.parameters()), next(pipe.ldrm.parameters()))
    assert len(loaded.provenance["weights_sha256"]) == 64


def test_weights_are_written_where_a_name_for_them_is_given(store: Path, tmp_path: Path) -> None:
    pipe = Diff4SplatPipeline.from_pretrained(
        write(
            tmp_path / "route",
            backbone=reference("referred", store / "video"),
            reconstructor=reference("ldrm", store / "ldrm"),
        )
    )
    pipe.save_pretrained(tmp_path / "whole", backbone="compact")
    assert (tmp_path / "whole" / "backbone" / "vae" / "model.safetensors").is_file()
    assert json.loads((tmp_path / "whole" / "pipeline_config.json").read_text())["backbone"] == "compact"


def test_frames_for_a_reader_of_frames(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts._RECONSTRUCTORS, "movies", FrameReader.from_pretrained)
    reader = reference("movies", "some/weights", revision="v1", num_views=7)
    route = write(tmp_path / "route", backbone=reference("referred", store / "video"), reconstructor=reader)
    pipe = Diff4SplatPipeline.from_pretrained(route, local_files_only=True)
    assert isinstance(pipe.ldrm, DecodedReconstructor) and pipe.ldrm.decoder is pipe.backbone
    assert pipe.ldrm.reconstructor.asked == ("some/weights", "v1", True, 7)
    pipe(IMAGE, num_gaussians="all")
    pipe.save_pretrained(tmp_path / "copy")
    assert json.loads((tmp_path / "copy" / "pipeline_config.json").read_text())["reconstructor"] == reader


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": {"kind": "none", "repository": "a/b"}}, "backbone must be one of .*, got 'none'"),
        (
            {"reconstructor": {"kind": "x", "repository": "a/b"}},
            r"reconstructor must be one of \['ldrm', 'mo",
        ),
        (
            {"backbone": {"repository": "a/b"}},
            "backbone must have a kind, a string that is not empty, got None",
        ),
        ({"backbone": {"kind": "referred", "repository": ""}}, "backbone must have a repository, .* got ''"),
        ({"backbone": {"kind": "referred", "repository": 7}}, "backbone must have a repository, .* got 7"),
        (
            {"backbone": {"kind": "referred", "repository": "a/b", "revision": 1}},
            "the revision of backbone must be a",
        ),
        (
            {"backbone": {"kind": "referred", "repository": "a/b", "name_or_path": "c"}},
            r"backbone must not set \['name_or_path'\], which loading sets",
        ),
        ({"reconstructor": "ldrm"}, "reconstructor must be an object, got 'ldrm'"),
        ({"backbone": 3}, "backbone must be a string or an object, got 3"),
    ],
)
def test_damaged_references(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    route = write(tmp_path, **{"backbone": reference("referred", "a/b"), **change})
    with pytest.raises(ValueError, match=f"pipeline_config.json: {message}"):
        Diff4SplatPipeline.from_pretrained(route, local_files_only=True)


def test_parts_that_are_not_there_or_do_not_fit(store: Path, tmp_path: Path) -> None:
    ldrm = reference("ldrm", store / "ldrm")

    def refused(error: type[Exception], message: str, **config: Any) -> None:
        with pytest.raises(error, match=message) as caught:
            Diff4SplatPipeline.from_pretrained(write(tmp_path / "route", **config), local_files_only=True)
        assert "\n" not in str(caught.value)

    video = reference("referred", store / "video")
    refused(
        FileNotFoundError,
        "backbone must lie at ./gone, got nothing at ",
        backbone=reference("referred", "./gone"),
    )
    refused(
        FileNotFoundError, "no model 'me/gone'", backbone=video, reconstructor=reference("ldrm", "me/gone")
    )
    refused(FileNotFoundError, "ldrm", backbone=video)
    refused(
        ValueError,
        r"backbone 'referred' takes the options \['name_or_path', .*'colour'.*",
        backbone={**video, "colour": "red"},
        reconstructor=ldrm,
    )
    refused(
        ValueError,
        "reconstructor 'ldrm' takes the options .*'colour'",
        backbone=video,
        reconstructor={**ldrm, "colour": "red"},
    )
    LDRM(latent_channels=4, dim=16, num_layers=1, num_heads=2, num_key_value_heads=1).save_pretrained(
        tmp_path / "route" / "camera_adapter"
    )
    refused(ValueError, "describes a LDRM, not a TinyAdapter", backbone=video, reconstructor=ldrm)
    refused(
        ValueError,
        "backbone 'compact' takes the options .*'camera_adapter'",
        backbone=reference("compact", store / "video"),
        reconstructor=ldrm,
    )


def ldrm_for(spec: LatentSpec, **options: Any) -> LDRM:
    sizes = {"embed_dim": 8, "dim": 16, "num_layers": 1, "num_heads": 2, "num_key_value_heads": 1}
    return LDRM.from_spec(spec, **sizes, head_width=8, pixel_width=8, motion_width=8, **options)


@pytest.mark.parametrize(
    ("other", "options", "message"),
    [
        ({"channels": 5}, {}, "ldrm must have latent_channels=3 to read the latents of this backbone, got 5"),
        ({"temporal_stride": 2}, {}, "ldrm must have temporal_stride=4 .*, got 2"),
        ({"spatial_stride": 16}, {}, "ldrm must have spatial_stride=8 .*, got 16"),
        (
            {"frame_multiple": 8},
            {},
            r"ldrm must take the clips of this backbone, 4k\+1 frames, got one for 8k\+1",
        ),
        ({}, {"feature_channels": 6}, "ldrm must have feature_channels=0 .*, got 6"),
        ({}, {"patch_size": 2}, "height must be a multiple of 16 pixels for this ldrm, got 24"),
    ],
)
def test_an_ldrm_for_other_latents_is_refused(
    other: dict[str, int], options: dict[str, int], message: str
) -> None:
    backbone = FakeBackbone()
    spec = LatentSpec(**{"channels": 3, "temporal_stride": 4, "spatial_stride": 8, **other})
    with pytest.raises(ValueError, match=message):
        Diff4SplatPipeline(
            backbone, ldrm_for(spec, **{"patch_size": 1, **options}), num_frames=9, height=24, width=24
        )
    assert backbone.calls == []


def test_an_ldrm_that_takes_more_clips_than_the_backbone_gives_fits() -> None:
    backbone = FakeBackbone(LatentSpec(channels=3, temporal_stride=4, spatial_stride=8, frame_multiple=8))
    ldrm = ldrm_for(LatentSpec(channels=3, temporal_stride=4, spatial_stride=8), patch_size=1)
    Diff4SplatPipeline(backbone, ldrm, num_frames=9, height=24, width=24)


def test_a_pipeline_that_refers_to_a_folder_is_not_pushed(store: Path, tmp_path: Path) -> None:
    backbone = FakeBackbone()
    backbone.reference = PretrainedReference("referred", str(store / "video"))
    pipe = Diff4SplatPipeline(backbone, FakeReconstructor(), num_frames=5, height=24, width=24)
    with pytest.raises(ValueError, match=r"backbone must come from the Hub .*, got the folder .*video"):
        pipe.push_to_hub("me/route")


HUB = """
import pipelines.test_parts as tests
from diff4splat import Diff4SplatPipeline

def load(**options):
    pipe = Diff4SplatPipeline.from_pretrained(sys.argv[1], **options)
    tests.tiny_pipeline()  # draws nothing from the network either
    return json.dumps([pipe.backbone.reference.revision, pipe.provenance])

attempt("missed", load, local_files_only=True)
attempt("first", load)
attempt("cached", load, local_files_only=True)
"""


def test_a_reference_to_the_hub_fetches_what_is_needed_and_nothing_twice(store: Path, tmp_path: Path) -> None:
    server = HubServer()
    server.add("org/video", store / "video")
    server.add("org/ldrm", store / "ldrm")
    server.repositories["org/video"]["main"]["model.ckpt"] = b"pickle"
    server.repositories["org/video"]["main"]["sample.mp4"] = b"video"
    commit = server.commit("org/ldrm", "main")
    route = write(
        tmp_path / "route",
        backbone=reference("referred", "org/video"),
        reconstructor=reference("ldrm", "org/ldrm", revision=commit),
    )
    with server.running() as address:
        report = run_client(HUB, address, tmp_path / "home", str(route))
    assert report["missed"]["error"] == "FileNotFoundError" and "cache" in report["missed"]["message"]
    revision, provenance = json.loads(report["first"]["value"])
    assert provenance["model"] == "route"
    assert provenance["reconstructor"] == {"kind": "ldrm", "repository": "org/ldrm", "revision": commit}
    assert report["cached"] == report["first"]
    fetched = [
        request.split("/resolve/")[1]
        for request in server.requests
        if request.startswith("GET") and "/resolve/" in request
    ]
    files = sorted(name.partition("/")[2] for name in fetched)
    parts_of = ("vae", "dit")
    expected = [f"{part}/{file}" for part in parts_of for file in ("config.json", "model.safetensors")]
    assert files == sorted(["config.json", "config.json", "model.safetensors", *expected]), "each once"


def test_version_1_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, backbone="compact", format_version=1) / "pipeline_config.json"
    assert read_pipeline_config(path)["backbone"] == "compact"
    assert "reconstructor" not in read_pipeline_config(path)


ROUTES = {
    "wan2.1-fun-1.3b-movies": LatentSpec(channels=16, temporal_stride=4, spatial_stride=8, patch=2),
    "wan2.2-fun-5b-movies": LatentSpec(channels=48, temporal_stride=4, spatial_stride=16, patch=2),
}


@pytest.mark.parametrize("name", ROUTES)
def test_routes_by_name_need_no_weights_in_the_package(name: str) -> None:
    assert name in list_bundled()
    folder = resolve_pretrained(name)
    assert [path.name for path in folder.iterdir()] == ["pipeline_config.json"]
    config = read_pipeline_config(folder / "pipeline_config.json")
    for part, kind in (("backbone", "wan-fun-camera"), ("reconstructor", "movies")):
        assert config[part].kind == kind and is_hub_id(config[part].repository)
    ROUTES[name].latent_shape(config["num_frames"], config["height"], config["width"])  # refuses what is none


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(
    ("part", "module", "cls"),
    [
        ("backbone", "diff4splat.backbones.wan_fun_camera", "WanFunCameraBackbone"),
        ("reconstructor", "diff4splat.models.movies", "MoVieSReconstructor"),
    ],
)
def test_routes_by_name_give_options_that_their_parts_take(
    name: str, part: str, module: str, cls: str
) -> None:
    factory = getattr(pytest.importorskip(module), cls).from_pretrained
    found = read_pipeline_config(resolve_pretrained(name) / "pipeline_config.json")[part]
    common = {"name_or_path": found.repository, "revision": None, "local_files_only": True}
    inspect.signature(factory).bind(**common, **found.options)


def test_a_route_whose_weights_are_not_here_says_which(tmp_path: Path) -> None:
    code = """
from diff4splat import Diff4SplatPipeline
attempt("route", Diff4SplatPipeline.from_pretrained, "wan2.2-fun-5b-movies", local_files_only=True)
"""
    report = run_client(code, "http://127.0.0.1:9", tmp_path)["route"]
    assert report["error"] in ("FileNotFoundError", "ValueError", "ModuleNotFoundError")
    assert "\n" not in report["message"]


def test_licence_is_told_where_those_of_all_weights_are_known(tmp_path: Path) -> None:
    def licence(name: str, folder: Path, *repositories: str) -> str | None:
        loaded = [SimpleNamespace(reference=PretrainedReference("kind", name)) for name in repositories]
        named = [(f"part {index}", part) for index, part in enumerate(loaded)]
        return parts.provenance_of(name, folder, *named).get("model_licence")

    wan, movies = "Wan-AI/Wan2.2-TI2V-5B-Diffusers", "chenguolin/MoVieS"
    assert licence("compact", resolve_pretrained("compact")) == "MIT"
    assert licence(str(tmp_path), tmp_path, wan) == "Apache-2.0"
    both = licence(str(tmp_path), tmp_path, wan, movies)
    assert both is not None and both.startswith("Apache-2.0 and MIT;")
    assert licence(str(tmp_path), tmp_path, wan, "someone/else") is None
    assert licence(str(tmp_path), tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"weights of someone")
    assert licence(str(tmp_path), tmp_path, wan) is None
