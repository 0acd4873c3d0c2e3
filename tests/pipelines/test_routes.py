"""The routes from public weights, whole: Wan-Fun follows a path, MoVieS reads the frames.

Weights are tiny and random, in repositories with the key layouts of the published ones.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hub.server import HubServer, run_client

from diff4splat.cameras import Cameras, trajectory
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.pipelines import DecodedReconstructor, Diff4SplatPipeline

pytest.importorskip("diffusers")
wan_fun_files = pytest.importorskip("backbones.wan_fun_files")
movies_parts = pytest.importorskip("models.movies_parts")

IMAGE = torch.rand(3, 71, 83, generator=torch.Generator().manual_seed(1))


CLIP = {"num_frames": 5, "height": 32, "width": 64, "num_steps": 2}


def write_route(folder: Path, video: str, parts: str, frames: str) -> Path:
    sizes, _, _ = movies_parts.golden()
    config = {
        "format_version": 2,
        "backbone": {
            "kind": "wan-fun-camera",
            "repository": video,
            "revision": None,
            "parts_from": parts,
            "dtype": "float32",
        },
        "reconstructor": {"kind": "movies", "repository": frames, "sizes": sizes, "num_views": 3, "size": 28},
        "guidance": {"kind": "constant", "value": 2.0},
        "min_opacity": 0.0,
        **CLIP,
    }
    folder.mkdir()
    (folder / "pipeline_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module", params=["2.1", "2.2"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The three repositories of a route, and the route beside them."""
    folder = tmp_path_factory.mktemp("store")
    wan_fun_files.write_fun_repository(folder / "video", request.param)
    wan_fun_files.write_parts_repository(folder / "parts", request.param)
    (folder / "frames").mkdir()
    movies_parts.write_published(folder / "frames", movies_parts.published_weights())
    write_route(folder / "route", "../video", "../parts", "../frames")
    return request.param, folder


def run(pipe: Diff4SplatPipeline, cameras: Cameras | str = "forward") -> DeformableGaussianField:
    return pipe(IMAGE, cameras, "a cab", generator=torch.Generator().manual_seed(0), num_gaussians=401)


def test_from_image_and_path_to_a_field_and_pictures(store: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = store
    pipe = Diff4SplatPipeline.from_pretrained(folder / "route")
    assert isinstance(pipe.ldrm, DecodedReconstructor)
    seen: list[Cameras] = []
    reader = pipe.ldrm.reconstructor
    reader.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    path = trajectory.orbit(5, height=32, width=64)
    field = run(pipe, path)
    field.validate()
    assert 0 < field.num_gaussians <= 401
    (taken,) = seen
    torch.testing.assert_close(taken.camera_to_world[0], path.camera_to_world, rtol=0, atol=1e-6)
    torch.testing.assert_close(taken.intrinsics[0], path.intrinsics, msg="commanded is rendered")
    film = field.render(path, torch.linspace(0, 1, 5))
    assert film.color.shape == (5, 3, 32, 64) and film.color.isfinite().all()
    names = {part: field.metadata[part]["repository"] for part in ("backbone", "reconstructor")}
    assert names == {"backbone": "video", "reconstructor": "frames"}

    other = run(pipe, "backward")
    assert not torch.equal(other.canonical.means[:5], field.canonical.means[:5]), "the path decides"
    pipe.save_pretrained(tmp_path / "copy")
    again = run(Diff4SplatPipeline.from_pretrained(tmp_path / "copy"), path)
    torch.testing.assert_close(again.canonical.means, field.canonical.means, rtol=0, atol=1e-4)


def test_a_given_video_goes_to_the_reader_of_frames_as_it_is(store: tuple[str, Path]) -> None:
    pipe = Diff4SplatPipeline.from_pretrained(store[1] / "route")
    seen: list[Any] = []
    pipe.ldrm.reconstructor.register_forward_pre_hook(lambda module, inputs: seen.append(inputs))
    video = torch.rand(5, 3, 32, 64, generator=torch.Generator().manual_seed(2))
    field = pipe.reconstruct_video(video, trajectory.orbit(5, height=32, width=64), num_gaussians=401)
    field.validate()
    assert torch.equal(seen[0][0][0], video)


CODE = """
from diff4splat import Diff4SplatPipeline

def load(**options):
    pipe = Diff4SplatPipeline.from_pretrained(sys.argv[1], **options)
    return json.dumps(pipe.provenance)

attempt("missed", load, local_files_only=True)
attempt("first", load)
attempt("cached", load, local_files_only=True)
"""


@pytest.mark.parametrize("store", ["2.2"], indirect=True)  # nothing in it depends on the model
def test_routes_on_the_hub_fetch_what_is_needed_once(store: tuple[str, Path], tmp_path: Path) -> None:
    _, folder = store
    server = HubServer()
    for name in ("video", "parts", "frames"):
        server.add(f"org/{name}", folder / name)
    server.repositories["org/parts"]["main"]["transformer/model.safetensors"] = b"ten gigabytes"
    server.repositories["org/frames"]["main"]["demo.mp4"] = b"a film"
    route = write_route(tmp_path / "route", "org/video", "org/parts", "org/frames")
    with server.running() as address:
        report = run_client(CODE, address, tmp_path / "home", str(route))
    assert report["missed"]["error"] == "FileNotFoundError" and "\n" not in report["missed"]["message"]
    provenance = json.loads(report["first"]["value"])
    assert provenance["backbone"]["revision"] == server.commit("org/video", "main"), (
        "the commit, not its name"
    )
    assert json.loads(report["cached"]["value"]) == provenance
    fetched = [r for r in server.requests if r.startswith("GET") and "/resolve/" in r]
    assert len(fetched) == len(set(fetched)), "each file once"
    assert not any(name in r for r in fetched for name in (".pth", ".mp4", "ten gig", "transformer/"))
