"""The tiny video autoencoder: values, pieces, published forms, loading, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import tiny_vae_golden
from hub.server import HubServer, run_client
from reference import backbones_tiny_vae
from reference.finite_differences import slope
from safetensors.torch import load_file, save_file

from diff4splat.backbones import TINY_VAES, LatentSpec, TinyVideoVAE, tiny_vae_layout
from diff4splat.models.cost import LiveBytes

FORMS = [
    {},
    {"patch_size": 2, "temporal_stride": 8},
    {"temporal_stride": 2, "variant": "super"},
    {"temporal_stride": 1},
]


def small(**options) -> TinyVideoVAE:
    """A narrow one in float64 with weights that keep the size of what passes through."""
    tiny = TinyVideoVAE(**{"latent_channels": 5, "width": 2, **options}).double().eval()
    state = tiny_vae_golden.weights({name: value.shape for name, value in tiny.state_dict().items()})
    tiny.load_state_dict(state)
    return tiny


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def clip_for(tiny: TinyVideoVAE, num_latents: int = 3) -> torch.Tensor:
    side = tiny.spec.spatial_stride
    return noise(1, tiny.spec.num_frames(num_latents), 3, side, 2 * side)


def shapes_of(tiny: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(value.shape) for name, value in tiny.state_dict().items()}


def check_against_loop(result, by_loop, tiny: TinyVideoVAE, leaf: torch.Tensor, half: str) -> None:
    """Values and slope by the input and the weights of one half.

    The step is so small because slopes change where a value goes through zero.
    """
    parameters = {name: p for name, p in tiny.named_parameters() if name.startswith(half)}
    leaves = [leaf, *parameters.values()]
    arrays = [value.detach().numpy() for value in leaves]

    def loop(array: np.ndarray, *weights: np.ndarray) -> np.ndarray:
        return by_loop(array[0], dict(zip(parameters, weights, strict=True)))

    np.testing.assert_allclose(result[0].detach().numpy(), loop(*arrays), atol=1e-12)
    draw = np.random.default_rng(0)
    probe = draw.normal(size=result.shape[1:])
    directions = [draw.normal(size=array.shape) for array in arrays]
    (result[0] * torch.from_numpy(probe)).sum().backward()
    got = sum(float(np.sum(value.grad.numpy() * d)) for value, d in zip(leaves, directions, strict=True))
    expected = slope(lambda *moved: np.sum(loop(*moved) * probe), arrays, directions, step=1e-8)
    assert got == pytest.approx(expected, rel=1e-5)


# --- values


@pytest.mark.parametrize("options", FORMS[:3], ids=str)
def test_encoder_matches_the_loop_with_its_gradient(options) -> None:
    tiny = small(**options)
    video = clip_for(tiny, 2).requires_grad_()
    strides = {"patch_size": tiny.patch_size, "temporal_stride": tiny.spec.temporal_stride}

    def by_loop(clip: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
        return backbones_tiny_vae.encode(clip, weights, **strides)

    check_against_loop(tiny.encode(video), by_loop, tiny, video, "encoder.")


@pytest.mark.parametrize("options", FORMS[:3], ids=str)
def test_decoder_matches_the_loop_with_its_gradient(options) -> None:
    tiny = small(**options)
    latents = (4 * noise(1, 2, 5, 1, 2) - 2).requires_grad_()
    strides = {"patch_size": tiny.patch_size, "temporal_stride": tiny.spec.temporal_stride}

    def by_loop(values: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
        variant = options.get("variant", "base")
        return backbones_tiny_vae.decode(values, weights, **strides, variant=variant)

    check_against_loop(tiny.decode_unclamped(latents), by_loop, tiny, latents, "decoder.")


@torch.no_grad()
@pytest.mark.parametrize("name", tiny_vae_golden.CASES)
def test_published_forms_compute_what_the_published_code_computes(name) -> None:
    golden = load_file(tiny_vae_golden.FILE)
    tiny = TinyVideoVAE.for_model(name)
    tiny.load_state_dict(tiny_vae_golden.weights(shapes_of(tiny)))
    expected, pixels = golden[f"{name}.latents"], golden[f"{name}.video"]
    video = tiny_vae_golden.video(name, *(pixels.shape[axis] for axis in (1, 3, 4)))
    # written in half precision: eleven bits
    torch.testing.assert_close(tiny.encode(video), expected.float(), atol=2e-4, rtol=1e-3)
    decoded = tiny.decode(tiny_vae_golden.latents(name, expected.shape))
    torch.testing.assert_close(decoded, pixels.float(), atol=5e-4, rtol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("options", FORMS, ids=str)
def test_shapes_follow_the_spec(options) -> None:
    tiny = small(**options)
    for num_latents in (1, 2, 3):
        video = clip_for(tiny, num_latents)
        latents = tiny.encode(video)
        assert latents.shape[1:] == tiny.spec.latent_shape(video.shape[1], *video.shape[-2:])
        assert tiny.decode(latents).shape == video.shape


@torch.no_grad()
@pytest.mark.parametrize("options", FORMS, ids=str)
@pytest.mark.parametrize("chunk_size", [1, 2, 3, 7])
def test_pieces_give_what_the_whole_clip_gives(options, chunk_size) -> None:
    tiny = small(**options)
    video = clip_for(tiny, 5)
    latents = tiny.encode(video, chunk_size=None)
    torch.testing.assert_close(tiny.encode(video, chunk_size=chunk_size), latents, atol=1e-12, rtol=0)
    decoded = tiny.decode(latents, chunk_size=None)
    torch.testing.assert_close(tiny.decode(latents, chunk_size=chunk_size), decoded, atol=1e-12, rtol=0)


def test_pieces_have_the_gradient_of_the_whole_clip() -> None:
    tiny, gradients = small(), []
    for chunk_size in (None, 2):
        tiny.zero_grad()
        video = clip_for(tiny).requires_grad_()
        decoded = tiny.decode_unclamped(tiny.encode(video, chunk_size=chunk_size), chunk_size=chunk_size)
        (decoded * noise(*decoded.shape, seed=2)).sum().backward()
        gradients.append([video.grad, *(p.grad for p in tiny.parameters())])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-11, rtol=1e-9)


@torch.no_grad()
def test_pieces_bound_the_memory() -> None:
    tiny = TinyVideoVAE(width=8)
    peaks = {}
    for num_latents in (3, 11):
        for chunk_size in (1, None):
            latents = torch.randn(1, num_latents, 16, 2, 3)
            with LiveBytes() as live:
                result = tiny.decode(latents, chunk_size=chunk_size)
            # the pieces of the result, the result, and what is cut and limited of it
            peaks[num_latents, chunk_size] = live.peak - 3 * result.nbytes
    assert peaks[11, 1] <= 1.1 * peaks[3, 1]
    assert peaks[11, None] > 2 * peaks[3, None]


@torch.no_grad()
def test_which_frames_a_latent_is_made_of() -> None:
    tiny = small(width=7)
    video = clip_for(tiny, 3)
    for frame in range(9):
        changed = video.clone()
        changed[:, frame] = 1 - changed[:, frame]
        difference = (tiny.encode(changed) - tiny.encode(video)).abs().amax((0, 2, 3, 4))
        assert (difference[: frame // 4] == 0).all() and difference[frame // 4] > 0


@torch.no_grad()
def test_a_latent_reaches_its_frames_and_later_ones_alone() -> None:
    tiny = small(width=7)
    latents = tiny.encode(clip_for(tiny, 3))
    for latent in range(3):
        changed = latents.clone()
        changed[:, latent] += 1
        difference = (
            (tiny.decode_unclamped(changed) - tiny.decode_unclamped(latents)).abs().amax((0, 2, 3, 4))
        )
        first = max(4 * latent - 3, 0)
        assert (difference[:first] == 0).all() and difference[first] > 0


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_computes_in_it_and_gives_float32(dtype) -> None:
    tiny = small().float()
    video = clip_for(tiny).float()
    expected = tiny.encode(video)
    tiny.to(dtype)
    latents = tiny.encode(video)
    assert latents.dtype == tiny.decode(latents).dtype == torch.float32
    torch.testing.assert_close(latents, expected, atol=0.02, rtol=0.05)
    assert not torch.equal(latents, expected)


def test_clips_from_another_device_are_brought_to_that_of_the_weights() -> None:
    tiny = small().float().to("meta")
    latents = tiny.encode(clip_for(small()).float())
    assert latents.is_meta and tiny.decode(torch.zeros(latents.shape)).is_meta


def test_colours_beyond_the_range_are_limited_and_keep_their_gradient_where_asked() -> None:
    tiny = small()
    with torch.no_grad():
        tiny.decoder[22].bias += 2
    latents = noise(1, 2, 5, 1, 1).requires_grad_()
    assert (tiny.decode(latents) == 1).all() and (tiny.decode_unclamped(latents) > 1).all()
    tiny.decode_unclamped(latents).sum().backward()
    assert (latents.grad != 0).any()


# --- published forms

MILLIONS = {  # encoder and decoder of the published code
    "taew2_1": (1.470928, 9.844611),
    "taew2_2": (1.494576, 9.923532),
    "taew2_2_super": (1.494576, 18.993420),
    "taehv1_5": (1.485344, 9.886668),
    "taehv1_5_super": (1.485344, 18.985228),
    "taeltx_2": (1.565568, 10.194160),
}


@pytest.mark.parametrize("name", TINY_VAES)
def test_form_of_published_weights(name) -> None:
    with torch.device("meta"):
        tiny = TinyVideoVAE.for_model(name)
    layout = tiny_vae_layout(shapes_of(tiny))
    assert layout == {
        "taecvx": "taew2_1",
        "taehv": "taew2_1",
        "taeos1_3": "taew2_1",
        "taeltx2_3": "taeltx_2",
    }.get(name, name)
    halves = [sum(p.numel() for p in half.parameters()) for half in (tiny.encoder, tiny.decoder)]
    assert halves == [round(1e6 * number) for number in MILLIONS[layout]]
    assert len(tiny.state_dict()) == (112 if name.endswith("super") else 128)


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("taew2_1", LatentSpec(16, 4, 8)),
        ("taew2_2_super", LatentSpec(48, 4, 16)),
        ("taecvx", LatentSpec(16, 4, 8, frame_multiple=8)),
        ("taehv1_5", LatentSpec(32, 4, 16)),
        ("taeltx2_3", LatentSpec(128, 8, 32)),
    ],
)
def test_latents_of_published_weights(name, spec) -> None:
    with torch.device("meta"):
        assert TinyVideoVAE.for_model(name).spec == spec


@pytest.mark.parametrize(("name", "z_dim"), [("taew2_1", 16), ("taew2_2", 48)])
def test_latents_have_the_shape_of_those_of_wan(name, z_dim) -> None:
    diffusers = pytest.importorskip("diffusers")
    options = {"base_dim": 3, "z_dim": z_dim, "num_res_blocks": 1}
    if z_dim == 48:
        options |= {"decoder_base_dim": 3, "in_channels": 12, "out_channels": 12, "patch_size": 2}
        options |= {"is_residual": True, "scale_factor_spatial": 16}
        options |= {"latents_mean": [0.0] * 48, "latents_std": [1.0] * 48}
    with torch.device("meta"), torch.no_grad():
        full, tiny = diffusers.AutoencoderKLWan(**options), TinyVideoVAE.for_model(name)
        latents = full.encode(torch.zeros(1, 3, 9, 32, 64)).latent_dist.mode()
        decoded = full.decode(latents).sample
    shape = latents.transpose(1, 2).shape
    assert shape[1:] == tiny.spec.latent_shape(9, 32, 64)
    assert tiny.spec.num_frames(shape[1]) == decoded.shape[2] == 9


def test_other_shapes_have_no_published_form() -> None:
    with torch.device("meta"):
        shapes = shapes_of(TinyVideoVAE(latent_channels=24, patch_size=2))
    assert tiny_vae_layout(shapes) is None
    assert tiny_vae_layout({}) is None
    with torch.device("meta"):
        shapes = shapes_of(TinyVideoVAE())
    assert tiny_vae_layout({**shapes, "more": [1]}) is None


def test_what_fits_a_backbone() -> None:
    with torch.device("meta"):
        tiny = TinyVideoVAE.for_model("taew2_1")
    tiny.check_fits(LatentSpec(16, 4, 8, patch=2, frame_multiple=8))
    with pytest.raises(
        ValueError, match="48 channels of stride 4 x 16 x 16, got 16 .*; of that kind are taew2_2, "
    ):
        tiny.check_fits(LatentSpec(48, 4, 16, patch=2))
    with pytest.raises(ValueError, match="got 16 channels of stride 4 x 8 x 8.$"):
        tiny.check_fits(LatentSpec(7, 4, 8))


# --- loading


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder as that of the published weights, random ones in half precision."""
    folder = tmp_path_factory.mktemp("taehv") / "safetensors"
    folder.mkdir()
    torch.manual_seed(0)
    for name in ("taecvx", "taew2_2"):
        save_file(TinyVideoVAE.for_model(name).half().state_dict(), folder / f"{name}.safetensors")
    (folder.parent / "taew2_2.pth").write_bytes(b"PK\x03\x04")
    return folder.parent


def test_a_published_file_is_told_by_its_shapes_and_name(published, tmp_path) -> None:
    before = torch.random.get_rng_state()
    tiny = TinyVideoVAE.from_pretrained(published / "safetensors" / "taew2_2.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert tiny.config == TinyVideoVAE(48, patch_size=2).config and not tiny.training
    stored = load_file(published / "safetensors" / "taew2_2.safetensors")
    for name, value in tiny.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, stored[name].float())

    file = published / "safetensors" / "taecvx.safetensors"
    assert TinyVideoVAE.from_pretrained(file).spec.frame_multiple == 8
    renamed = tmp_path / "preview.safetensors"
    renamed.symlink_to(file)
    assert TinyVideoVAE.from_pretrained(renamed).spec.frame_multiple is None
    assert TinyVideoVAE.from_pretrained(renamed, model="taecvx").spec.frame_multiple == 8


def test_a_file_in_a_folder_is_named(published) -> None:
    where = {"subfolder": "safetensors", "filename": "taecvx.safetensors"}
    assert TinyVideoVAE.from_pretrained(published, **where).spec.channels == 16
    with pytest.raises(FileNotFoundError, match="has no file 'taew2_1.safetensors'"):
        TinyVideoVAE.from_pretrained(published, filename="taew2_1.safetensors")
    there = "taecvx.safetensors, taew2_2.safetensors"
    with pytest.raises(FileNotFoundError, match=rf"name a file with filename= \(there: {there}\)"):
        TinyVideoVAE.from_pretrained(published, subfolder="safetensors")


def test_own_weights_come_back_and_load_as_published_ones(tmp_path) -> None:
    tiny = small(patch_size=2, frame_multiple=8).float()
    tiny.save_pretrained(tmp_path)
    loaded = TinyVideoVAE.from_pretrained(tmp_path)
    assert loaded.config == tiny.config and loaded.spec == tiny.spec
    video = clip_for(tiny).float()
    assert torch.equal(loaded.encode(video), tiny.encode(video))


def test_a_file_on_the_hub_is_fetched_alone(published, tmp_path) -> None:
    server = HubServer()
    server.add("someone/previews", published)
    code = """
from diff4splat.backbones import TinyVideoVAE

def load(name="safetensors/taecvx.safetensors", **options):
    return TinyVideoVAE.from_pretrained("someone/previews", filename=name, **options).spec.frame_multiple

attempt("pickle", lambda: load("taew2_2.pth"))
attempt("load", load)
attempt("again", lambda: load(local_files_only=True))
attempt("missing", lambda: load("taew2_1.safetensors"))
"""
    with server.running() as address:
        report = run_client(code, address, tmp_path)
    assert report["pickle"]["error"] == "ValueError"
    assert report["load"]["value"] == report["again"]["value"] == "8"
    assert report["missing"]["message"] == "someone/previews has no file 'taew2_1.safetensors'."
    assert not any("taew2_2" in request for request in server.requests)


# --- refusals


def test_other_files_are_refused_in_one_sentence(published, tmp_path) -> None:
    pickle = published / "taew2_2.pth"
    with pytest.raises(ValueError, match="taew2_2.pth is a pickle, .* take the safetensors file"):
        TinyVideoVAE.from_pretrained(pickle)
    disguised = tmp_path / "taew2_2.safetensors"
    disguised.write_bytes(pickle.read_bytes() + bytes(99))
    with pytest.raises(ValueError, match="is a pickle or torch archive"):
        TinyVideoVAE.from_pretrained(disguised)
    large = tmp_path / "large.safetensors"
    save_file({"encoder.conv_in.weight": torch.zeros(3), "decoder.conv_out.bias": torch.zeros(5)}, large)
    with pytest.raises(
        ValueError, match="must hold one of taew2_1, .* got another kind .* decoder.conv_out.bias"
    ):
        TinyVideoVAE.from_pretrained(large)
    other = tmp_path / "taeh3.safetensors"
    save_file(TinyVideoVAE(24, patch_size=2, width=1).state_dict(), other)
    with pytest.raises(
        ValueError, match="got an autoencoder of this kind with other sizes and 24 latent channels"
    ):
        TinyVideoVAE.from_pretrained(other)
    file = published / "safetensors" / "taecvx.safetensors"
    with pytest.raises(ValueError, match="taecvx.safetensors must hold taew2_2, got taew2_1"):
        TinyVideoVAE.from_pretrained(file, model="taew2_2")
    with pytest.raises(ValueError, match="model must be one of taew2_1, .*, got 'wan'"):
        TinyVideoVAE.from_pretrained(file, model="wan")
    with pytest.raises(ValueError, match="revision must be None for the file"):
        TinyVideoVAE.from_pretrained(file, revision="main")
    with pytest.raises(ValueError, match="model is for a file"):
        TinyVideoVAE.from_pretrained(published, model="taew2_2")
    values = {name: value.clone() for name, value in load_file(file).items()}
    values["decoder.22.bias"][0] = float("nan")
    save_file(values, tmp_path / "taew2_1.safetensors")
    with pytest.raises(ValueError, match="values of decoder.22.bias: expected finite"):
        TinyVideoVAE.from_pretrained(tmp_path / "taew2_1.safetensors")


@pytest.mark.usefixtures("without_shape_checker")
def test_clips_that_do_not_fit_are_refused() -> None:
    tiny = small(frame_multiple=8)
    with pytest.raises(ValueError, match="num_frames must be 8k.1 .*, got 5; nearest valid 1 or 9"):
        tiny.encode(noise(1, 5, 3, 8, 8))
    with pytest.raises(ValueError, match="num_latents must be 2k.1 .*, got 2"):
        tiny.decode(noise(1, 2, 5, 1, 1))
    with pytest.raises(ValueError, match="width must be a multiple of 8 .*, got 12"):
        tiny.encode(noise(1, 9, 3, 8, 12))
    with pytest.raises(ValueError, match=r"latents must be .*channel=5 .*, got float64 \[1, 3, 16, 1, 1\]"):
        tiny.decode(noise(1, 3, 16, 1, 1))
    with pytest.raises(ValueError, match=r"video must be .*channel=3 .*, got float64 \[9, 3, 8, 8\]"):
        tiny.encode(noise(9, 3, 8, 8))
    with pytest.raises(ValueError, match="video must be floating point .*, got uint8"):
        tiny.encode(torch.zeros(1, 9, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="chunk_size must be >= 1 or None, got 0"):
        tiny.decode(noise(1, 3, 5, 1, 1), chunk_size=0)


@pytest.mark.usefixtures("without_shape_checker")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent_channels": 0}, "latent_channels must be >= 1, got 0"),
        ({"width": 0}, "width must be >= 1, got 0"),
        ({"temporal_stride": 3}, "temporal_stride must be 1, 2, 4 or 8, got 3"),
        ({"variant": "large"}, 'variant must be "base" or "super", got \'large\''),
    ],
)
def test_sizes_that_cannot_be_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        TinyVideoVAE(**options)
