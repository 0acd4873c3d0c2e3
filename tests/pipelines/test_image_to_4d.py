"""The pipeline with parts that have no weights: what it hands on, what it promises, what it refuses."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from pipelines.fake_parts import FRAMES, HEIGHT, WIDTH, FakeBackbone, FakeReconstructor, fake_pipeline

from diff4splat.backbones import LatentSpec, register_backbone
from diff4splat.cameras import Cameras, trajectory
from diff4splat.diffusion import ConstantGuidance, CosineGuidance
from diff4splat.gaussians import DeformableGaussianField
from diff4splat.hub import HubModule
from diff4splat.pipelines import STAGES, Diff4SplatPipeline, video_to_4d

IMAGE = torch.rand(3, 71, 83, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_result_is_one_valid_field_that_can_be_rendered() -> None:
    field = fake_pipeline()(IMAGE, generator=generator())
    field.validate()
    assert field.batch_shape == ()
    film = field.render(trajectory.spiral(3, height=13, width=17), torch.linspace(0, 1, 3))
    assert film.color.shape == (3, 3, 13, 17)
    assert not field.delta_means.requires_grad


def test_parts_receive_what_the_contract_says() -> None:
    pipe = fake_pipeline()
    pipe(IMAGE, "forward", "leaves fall", num_steps=2, guidance=3.0, detail_size=47)
    (asked,), (rebuilt,) = pipe.backbone.calls, pipe.ldrm.calls
    assert asked["image"].shape == (1, 3, HEIGHT, WIDTH)
    assert (asked["prompt"], asked["num_steps"]) == (["leaves fall"], 2)
    assert asked["guidance"] == ConstantGuidance(3.0)
    assert rebuilt["image"].shape == (1, 3, 47, 47)
    for cameras in (asked["cameras"], rebuilt["cameras"]):
        assert cameras.camera_to_world.shape == (1, FRAMES, 4, 4)
        assert (cameras.height, cameras.width) == (HEIGHT, WIDTH)
    expected = trajectory.forward(FRAMES, height=HEIGHT, width=WIDTH)
    torch.testing.assert_close(asked["cameras"].camera_to_world[0], expected.camera_to_world)
    torch.testing.assert_close(asked["cameras"].intrinsics[0], expected.intrinsics)


@pytest.mark.parametrize("num_frames", [2, 5, 23])
def test_cameras_of_any_number_and_size_become_the_clip(num_frames: int) -> None:
    pipe = fake_pipeline()
    pipe(IMAGE, trajectory.backward(num_frames, height=60, width=90, amplitude=2.0))
    cameras = pipe.backbone.calls[0]["cameras"]
    torch.testing.assert_close(cameras.camera_to_world[0, :, 2, 3], torch.linspace(0, -2, FRAMES))
    focal = trajectory.backward(2, height=60, width=90).intrinsics[0, 0, 0] * HEIGHT / 60
    torch.testing.assert_close(cameras.intrinsics[0, 0, 0, 0], focal)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"guidance": "loud"}, TypeError, "guidance must be a number or a guidance schedule, got str"),
        ({"generator": 5}, TypeError, "generator must be a torch.Generator or None, got int"),
        ({"num_frames": 9.0}, TypeError, "num_frames must be an integer, got float"),
        ({"num_frames": True}, TypeError, "num_frames must be an integer, got bool"),
        ({"detail_size": 0}, ValueError, "detail_size must be at least 1, got 0"),
        ({"background": "red"}, ValueError, "background must be 'white' or 'black', got 'red'"),
    ],
)
def test_arguments_are_refused_in_words(
    without_shape_checker: None, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fake_pipeline()(IMAGE, **options)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        (None, None),
        ("", None),
        (" \n\t", None),
        ("  rain ", ["rain"]),
        ("木の葉が落ちる 🍂", ["木の葉が落ちる 🍂"]),
        ("a\x00b", ["a\x00b"]),
        ("long " * 4000, [("long " * 4000).strip()]),
    ],
)
def test_prompts(prompt: str | None, expected: list[str] | None) -> None:
    pipe = fake_pipeline()
    field = pipe(IMAGE, prompt=prompt)
    assert pipe.backbone.calls[0]["prompt"] == expected
    assert field.metadata["prompt"] == (expected[0] if expected else "")


def test_prompt_with_broken_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="prompt must be valid Unicode text, got a lone surrogate"):
        fake_pipeline()(IMAGE, prompt="caf\udce9")


def test_seed_decides() -> None:
    pipe = fake_pipeline()
    first, same, other = (pipe(IMAGE, generator=generator(seed)).delta_means for seed in (7, 7, 8))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_global_random_state_is_not_touched() -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    fake_pipeline()(IMAGE, generator=generator())
    assert torch.equal(torch.rand(3), expected)


def test_faint_gaussians_are_dropped_and_the_budget_is_kept() -> None:
    everything = fake_pipeline(num_gaussians=None, min_opacity=0.0)(IMAGE)
    assert everything.num_gaussians == 71 * 71
    pruned = fake_pipeline(num_gaussians=None)(IMAGE)
    assert pruned.num_gaussians == 71 * 71 - len(range(0, 71 * 71, 7))
    assert pruned.canonical.opacities.min() >= 0.005
    limited = fake_pipeline()(IMAGE, num_gaussians=1000)
    assert limited.num_gaussians <= 1000
    few = fake_pipeline(num_gaussians=101)
    assert few(IMAGE).num_gaussians == 101
    assert few(IMAGE, num_gaussians="all").num_gaussians == pruned.num_gaussians


def test_what_cannot_be_seen_at_all_is_dropped_even_if_faint_ones_are_kept() -> None:
    pipe = fake_pipeline(num_gaussians=None, min_opacity=0.0)
    complete = pipe.ldrm

    def with_ghosts(*arguments: Any, **options: Any) -> DeformableGaussianField:
        field = complete(*arguments, **options)
        field.canonical.opacities[:, :13] = 0.0
        return field

    pipe.ldrm = with_ghosts
    assert pipe(IMAGE).num_gaussians == 71 * 71 - 13


@pytest.mark.parametrize("budget", [1, 101, None])
def test_the_photograph_arrives_whole_and_the_budget_is_told_beside_it(budget: int | None) -> None:
    pipe = fake_pipeline(num_gaussians=budget)
    pipe(IMAGE)
    assert pipe.ldrm.calls[0]["image"].shape == (1, 3, 71, 71)
    assert pipe.ldrm.calls[0]["max_gaussians"] == budget


def test_nothing_left_is_said() -> None:
    with pytest.raises(ValueError, match=r"min_opacity=0.99 leaves no Gaussian"):
        fake_pipeline(min_opacity=0.99)(IMAGE)


def test_metadata_says_where_the_field_comes_from(tmp_path: Path) -> None:
    field = fake_pipeline(guidance=CosineGuidance(maximum=4.0))(
        IMAGE, "orbit", "rain", generator=generator(11)
    )
    field.save(tmp_path / "scene.safetensors")
    metadata = DeformableGaussianField.load(tmp_path / "scene.safetensors").metadata
    assert metadata["model"] == "FakeBackbone + FakeReconstructor"
    assert metadata["reconstructor"] == "fake"
    assert (metadata["prompt"], metadata["trajectory"], metadata["seed"]) == ("rain", "orbit", 11)
    assert "maximum=4.0" in metadata["guidance"]
    assert metadata["image_size"] == [71, 83]
    assert metadata["num_gaussians"] == field.num_gaussians


def test_progress_goes_through_the_stages_in_order() -> None:
    seen: list[tuple[str, int, int]] = []
    fake_pipeline()(IMAGE, callback=lambda *progress: seen.append(progress))
    prepare, generate, rebuild = STAGES
    steps = [(generate, done, 3) for done in range(4)]
    assert seen == [(prepare, 0, 1), (prepare, 1, 1), *steps, (rebuild, 0, 1), (rebuild, 1, 1)]


def test_an_error_in_the_callback_stops_the_call() -> None:
    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    pipe = fake_pipeline()
    with pytest.raises(KeyboardInterrupt):
        pipe(IMAGE, callback=stop)
    assert pipe.backbone.calls == []


def shifted(cameras: Cameras, value: float) -> Cameras:
    matrix = cameras.camera_to_world.clone()
    matrix[1, 0, 1] = value
    return Cameras(matrix, cameras.intrinsics, cameras.height, cameras.width)


SPIRAL = trajectory.spiral(5, height=32, width=32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": "sideways"}, "must be one of spiral, forward.*got 'sideways'"),
        ({"cameras": shifted(SPIRAL, 0.4)}, "camera_to_world must be rigid"),
        ({"cameras": shifted(SPIRAL, float("nan"))}, "camera_to_world must be finite"),
        ({"cameras": SPIRAL.select(slice(0, 1))}, "cameras must have at least 2 frames, got 1"),
        ({"num_frames": 6}, "num_frames must be 4k.1 for this backbone, got 6; nearest valid 5 or 9"),
        ({"num_frames": 1}, "num_frames must be at least 2, got 1"),
        ({"num_steps": 0}, "num_steps must be at least 1, got 0"),
        ({"num_gaussians": 0}, "num_gaussians must be at least 1, got 0"),
        ({"guidance": float("nan")}, "must be finite"),
        ({"image": torch.zeros(3, 8, 8)}, "image must be at least 16 pixels"),
    ],
)
def test_wrong_input_is_refused_before_anything_is_generated(arguments: dict[str, Any], message: str) -> None:
    pipe = fake_pipeline()
    with pytest.raises(ValueError, match=message):
        pipe(**{"image": IMAGE, **arguments})
    assert pipe.backbone.calls == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 7}, "num_frames must be 4k.1"),
        ({"height": 25}, "height must be a multiple of 8"),
        ({"num_steps": 0}, "num_steps must be at least 1"),
        ({"num_gaussians": -3}, "num_gaussians must be at least 1"),
        ({"min_opacity": 1.5}, r"min_opacity must be in \[0, 1\), got 1.5"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fake_pipeline(**settings)


def tiny_pipeline() -> Diff4SplatPipeline:
    """The real parts, as narrow as they go."""
    from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
    from diff4splat.models import LDRM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = CausalVideoVAE(latent_channels=4, width=8, num_blocks=1)
        dit = CompactDiT(
            latent_channels=4,
            dim=32,
            num_layers=1,
            num_heads=2,
            num_key_value_heads=1,
            text_dim=32,
            text_layers=1,
        )
        ldrm = LDRM(
            latent_channels=4,
            embed_dim=8,
            dim=32,
            num_layers=2,
            num_heads=2,
            num_key_value_heads=1,
            head_width=8,
            pixel_width=8,
            motion_width=8,
        )
    guidance = CosineGuidance(maximum=2.0)
    return Diff4SplatPipeline(
        CompactBackbone(vae, dit).eval(),
        ldrm.eval(),
        num_frames=5,
        height=32,
        width=32,
        num_steps=2,
        guidance=guidance,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_pipeline().save_pretrained(folder)
    return folder


def test_saving_and_loading_gives_the_same_scene(saved: Path) -> None:
    expected = tiny_pipeline()(IMAGE, "spiral", "rain", generator=generator())
    loaded = Diff4SplatPipeline.from_pretrained(saved, device="cpu")
    field = loaded(IMAGE, "spiral", "rain", generator=generator())
    for name in ("means", "scales", "quaternions", "opacities", "harmonics"):
        torch.testing.assert_close(
            getattr(field.canonical, name), getattr(expected.canonical, name), rtol=0, atol=0
        )
    torch.testing.assert_close(field.delta_means, expected.delta_means, rtol=0, atol=0)
    assert loaded.guidance == CosineGuidance(maximum=2.0)
    assert field.metadata["model"] == "tiny", "a folder is known by its name, not by its path"
    assert len(field.metadata["weights_sha256"]) == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format_version": 3}, "format_version must be 1 or 2, got 3"),
        ({"colour": "red"}, r"unknown \['colour'\]"),
        ({"height": ...}, r"missing \['height'\]"),
        ({"backbone": "none-such"}, r"pipeline_config.json: backbone must be one of .*, got 'none-such'"),
        ({"guidance": {"kind": "loud"}}, r"one of \[.*'constant', 'cosine'.*\], got 'loud'"),
        ({"guidance": {"kind": "cosine", "volume": 3}}, "guidance has wrong options"),
        ({"guidance": 7}, "guidance must be an object or null, got 7"),
        ({"num_frames": "9"}, "pipeline_config.json: num_frames must be an integer, got '9'"),
        ({"num_frames": 9.0}, "num_frames must be an integer, got 9.0"),
        ({"height": True}, "height must be an integer, got True"),
        ({"min_opacity": "x"}, "min_opacity must be an integer or a number, got 'x'"),
        ({"num_steps": 0}, "pipeline_config.json: num_steps must be at least 1"),
        ({"detail_size": -4}, "pipeline_config.json: detail_size must be at least 1"),
    ],
)
def test_damaged_configuration(change: dict[str, Any], message: str, saved: Path, tmp_path: Path) -> None:
    config = {**json.loads((saved / "pipeline_config.json").read_text()), **change}
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    kept = {key: value for key, value in config.items() if value is not ...}
    (tmp_path / "pipeline_config.json").write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=message):
        Diff4SplatPipeline.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"text"'])
def test_configuration_that_is_no_object(text: str, tmp_path: Path) -> None:
    (tmp_path / "pipeline_config.json").write_text(text)
    with pytest.raises(ValueError, match="pipeline_config.json must"):
        Diff4SplatPipeline.from_pretrained(tmp_path)


def test_missing_parts(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="must hold pipeline_config.json"):
        Diff4SplatPipeline.from_pretrained(tmp_path)
    (tmp_path / "pipeline_config.json").write_text((saved / "pipeline_config.json").read_text())
    with pytest.raises((FileNotFoundError, ValueError), match=str(tmp_path)):
        Diff4SplatPipeline.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="no-such-model"):
        Diff4SplatPipeline.from_pretrained("no-such-model")


class SavedBackbone(HubModule):
    """A user's backbone, as far as saving goes."""

    spec = LatentSpec(channels=4, temporal_stride=4, spatial_stride=8)

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = torch.nn.Parameter(torch.full((), gain))


@pytest.mark.usefixtures("without_shape_checker")
def test_a_backbone_that_is_registered_by_its_from_pretrained_is_loaded(tmp_path: Path) -> None:
    register_backbone("saved backbone", SavedBackbone.from_pretrained)
    pipe = Diff4SplatPipeline(SavedBackbone(2.5), tiny_pipeline().ldrm, num_frames=5, height=32, width=32)
    pipe.save_pretrained(tmp_path, backbone="saved backbone")
    loaded = Diff4SplatPipeline.from_pretrained(tmp_path).backbone
    assert isinstance(loaded, SavedBackbone) and loaded.gain.item() == 2.5


def test_parts_without_a_way_to_save_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        TypeError, match="backbone must have save_pretrained, or a reference, to be saved, got Fake"
    ):
        fake_pipeline().save_pretrained(tmp_path / "model")


def test_a_budget_that_cannot_be_kept_here_is_refused_before_anything_is_generated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(device: torch.device) -> None:
        raise RuntimeError(f"render needs gsplat on {device}")

    monkeypatch.setattr(video_to_4d, "require_backend", refuse)
    pipe = fake_pipeline()
    with pytest.raises(RuntimeError, match="render needs gsplat on cpu"):
        pipe(IMAGE)
    assert pipe.backbone.calls == []
    pipe(IMAGE, num_gaussians="all")  # nothing is rendered


def test_any_backbone_and_reconstructor_will_do() -> None:
    pipe = Diff4SplatPipeline(FakeBackbone(), FakeReconstructor(), num_frames=9, height=16, width=40)
    pipe(IMAGE)
    assert pipe.backbone.calls[0]["image"].shape == (1, 3, 16, 40)
    assert pipe.device == torch.device("cpu") and pipe.dtype == torch.float32


@pytest.mark.usefixtures("without_shape_checker")
def test_the_bundled_model_runs_in_half_precision() -> None:
    pipe = Diff4SplatPipeline.from_pretrained("compact").to(dtype=torch.bfloat16)
    assert pipe.dtype == torch.bfloat16
    field = pipe(IMAGE, num_frames=5, num_steps=1, num_gaussians=997, generator=generator())
    assert field.dtype == torch.float32 and field.num_gaussians <= 997
    field.validate()
    with pytest.raises(TypeError, match=r"got torch\.bfloat16; for a floating type call to\(dtype="):
        pipe.to(torch.bfloat16)
