"""What is minimised: true motion, balanced errors, and a gradient for every weight."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diff4splat.training.objectives import (
    autoencoder_losses,
    balanced_motion_loss,
    batch_cameras,
    diffusion_losses,
    motion_targets,
    on_coarser_grid,
    reconstruction_losses,
)
from models.parts import NARROW, stir
from reference import training_motion as reference
from reference import training_objectives as objectives
from reference.finite_differences import slope

from diff4splat.backbones.compact import CausalVideoVAE, CompactDiT
from diff4splat.data import make_clips, object_motion, sample_cameras, sample_scenes
from diff4splat.geometry import unproject
from diff4splat.models import LDRM, LDRMFeatures

SEEDS = [3, 11]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def batch() -> tuple[dict[str, torch.Tensor], list[str]]:
    clips, captions = make_clips(SEEDS, num_frames=5, height=32, width=32)
    clips["latents"] = torch.randn(2, 2, 3, 4, 4, generator=generator())
    return clips, captions


@pytest.fixture(scope="module")
def exact():
    """Clips of every fourth frame with depth in full precision, and the scenes."""
    scenes = sample_scenes(SEEDS)
    cameras = sample_cameras(SEEDS, 9, height=13, width=17, static_probability=0.0)
    times = torch.linspace(0, 1, 9)
    frames = scenes.render(cameras, times)
    clips = {
        "video": (frames.color * 255).to(torch.uint8),
        "depth": frames.depth[:, ::4],
        "object_index": frames.object_index[:, ::4],
        "object_motion": object_motion(scenes, times),
        "camera_to_world": cameras.camera_to_world,
        "intrinsics": cameras.intrinsics,
    }
    return clips, scenes, cameras


PICKS = torch.tensor([[0, 7], [8, 3]])


def test_true_motion_is_that_of_the_scenes(exact) -> None:
    clips, scenes, cameras = exact
    target, _, moving = motion_targets(clips, PICKS)
    assert target.shape == (2, 2, 3, 3, 13, 17)
    for frame in range(3):
        pose, intrinsics = cameras.camera_to_world[:, 4 * frame], cameras.intrinsics[:, 4 * frame]
        depth, index = clips["depth"][:, frame], clips["object_index"][:, frame].flatten(1)
        points = unproject(depth, pose, intrinsics).flatten(1, 2)
        seen_at = torch.full(index.shape, frame / 2)
        for pick in range(2):
            to = (PICKS[:, pick, None] / 8).expand_as(index)
            moved = scenes.move(points, index, seen_at, to)
            local = (moved - points) @ pose[:, :3, :3] / depth.flatten(1)[..., None]
            got = target[:, pick, frame].flatten(-2).mT
            # float32 differences of coordinates of up to some ten units
            torch.testing.assert_close(got, local, atol=2e-5, rtol=0)
    assert moving.any() and not moving.all()
    assert (clips["object_index"] > 0)[moving].all()
    assert (target.movedim(3, -1).norm(dim=-1) > 0.01).any()


def test_true_motion_matches_the_loop(exact) -> None:
    clips, _, _ = exact
    target, turn, _ = motion_targets(clips, PICKS)
    arrays = {name: value.double().numpy() for name, value in clips.items()}
    moving = clips["object_index"].nonzero()
    for sample, frame, row, column in moving[:: max(1, len(moving) // 23)].tolist():
        motion = arrays["object_motion"][sample, int(clips["object_index"][sample, frame, row, column])]
        for pick in range(2):
            pose = arrays["camera_to_world"][sample, 4 * frame]
            ends = motion[4 * frame], motion[int(PICKS[sample, pick])]
            expected = reference.displacement(
                arrays["depth"][sample, frame, row, column],
                row,
                column,
                pose,
                arrays["intrinsics"][sample, 4 * frame],
                *ends,
            )
            got = target[sample, pick, frame, :, row, column].numpy()
            np.testing.assert_allclose(got, expected, atol=2e-5)
            got = turn[sample, pick, frame, :, row, column].numpy()
            np.testing.assert_allclose(got, reference.turn(pose, *ends), atol=2e-5)
    assert (turn.norm(dim=3) > 0.05).any(), "something turns"


def test_a_pixel_is_where_it_is_at_its_own_time(exact) -> None:
    target, turn, _ = motion_targets(exact[0], torch.tensor([[0, 4, 8]] * 2))
    rest = (exact[0]["object_index"] == 0)[:, None, :, None].expand_as(target)
    for motion in (target, turn):
        assert motion.diagonal(dim1=1, dim2=2).abs().max() < 1e-5
        assert motion[rest].abs().max() < 1e-6


@pytest.mark.parametrize(("top", "left"), [(0, 0), (2, 1)])
def test_a_coarser_grid_holds_the_same_points(exact, top, left) -> None:
    clips, _, cameras = exact
    coarse = on_coarser_grid(clips, stride=3, top=top, left=left)
    pose = cameras.camera_to_world[:, ::4]
    fine = unproject(clips["depth"], pose, clips["intrinsics"][:, ::4])
    points = unproject(coarse["depth"], pose, coarse["intrinsics"][:, ::4])
    torch.testing.assert_close(points, fine[:, :, top::3, left::3], atol=1e-4, rtol=1e-5)
    assert torch.equal(coarse["object_index"], clips["object_index"][..., top::3, left::3])
    assert clips["depth"].shape[-1] == 17, "the batch itself is left as it was"


def test_balanced_loss_matches_the_loop() -> None:
    predicted = torch.randn(2, 3, 2, 3, 5, 7, generator=generator(), dtype=torch.float64)
    target = torch.randn(2, 3, 2, 3, 5, 7, generator=generator(1), dtype=torch.float64)
    moving = torch.rand(2, 2, 5, 7, generator=generator(2)) < 0.3
    loss, ratio = balanced_motion_loss(predicted.float(), target.float(), moving)
    expected = reference.balanced_motion_loss(predicted.numpy(), target.numpy(), moving.numpy())
    assert (loss.item(), ratio.item()) == pytest.approx(expected, rel=1e-5)


def test_gradient_of_the_balanced_loss() -> None:
    predicted, target = (
        torch.randn(1, 2, 2, 3, 2, 3, generator=generator(seed), dtype=torch.float64) for seed in (0, 1)
    )
    moving = torch.rand(1, 2, 2, 3, generator=generator(2)) < 0.4
    assert moving.any() and not moving.all()
    assert torch.autograd.gradcheck(
        lambda p, t: balanced_motion_loss(p, t, moving)[0],
        (predicted.requires_grad_(), target.requires_grad_()),
    )


def test_balanced_loss_without_movers_is_a_share_of_the_error_at_rest() -> None:
    predicted = (30 * torch.randn(1, 2, 1, 3, 3, 5)).requires_grad_()
    target = torch.zeros(1, 2, 1, 3, 3, 5)
    moving = torch.zeros(1, 1, 3, 5, dtype=torch.bool)
    loss, ratio = balanced_motion_loss(predicted, target, moving, rest_weight=0.4)
    assert loss.item() == pytest.approx(0.4 * predicted.norm(dim=3).mean().item(), rel=1e-2)
    assert ratio.item() == 0
    loss.backward()
    assert torch.isfinite(predicted.grad).all()


def test_a_guess_that_points_the_right_way_pays_even_when_everything_makes_it() -> None:
    """A model that cannot yet tell movers apart must not be held at zero by the pixels at rest."""
    target = torch.zeros(1, 1, 1, 3, 3, 5)
    moving = torch.zeros(1, 1, 3, 5, dtype=torch.bool)
    moving[..., 0, 0] = True
    target[0, 0, 0, 0, 0, 0] = 0.2
    guess = torch.zeros_like(target)
    guess[:, :, :, 0] = 0.02
    assert balanced_motion_loss(guess, target, moving)[0] < balanced_motion_loss(0 * guess, target, moving)[0]


def check_gradients(module: torch.nn.Module) -> None:
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


def assert_slope(loss: torch.Tensor, leaves: list[torch.Tensor], by_loop) -> None:
    """The gradient of the loss is the slope of the loop's along a random direction."""
    loss.backward()
    arrays = [leaf.detach().numpy() for leaf in leaves]
    draw = np.random.default_rng(0)
    directions = [draw.normal(size=array.shape) for array in arrays]
    got = sum(
        float((leaf.grad * torch.from_numpy(d)).sum()) for leaf, d in zip(leaves, directions, strict=True)
    )
    # kinks of absolute values and float32 truth
    assert got == pytest.approx(slope(by_loop, arrays, directions, step=1e-6), rel=1e-3)


def randn(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).requires_grad_()


def test_autoencoder_loss_matches_the_loop_with_its_gradient(batch) -> None:
    """The network's answers are given, so that only the loss is compared."""
    vae = CausalVideoVAE(latent_channels=3, width=8, num_blocks=1)
    mean, log_variance = randn(2, 2, 3, 2, 2, seed=1), randn(2, 2, 3, 2, 2, seed=2)
    decoded = randn(2, 5, 3, 16, 16, seed=3)
    sampled: list[torch.Tensor] = []
    vae.posterior = lambda video: (mean, log_variance)
    vae.decode = lambda sample: sampled.append(sample) or decoded
    values = autoencoder_losses(vae, batch[0], generator(4), crop=16)

    draws = generator(4)
    top, left = (int(torch.randint(0, 17, (1,), generator=draws)) for _ in range(2))
    noise = torch.randn(mean.shape, generator=draws)
    torch.testing.assert_close(sampled[0], mean + (log_variance / 2).exp() * noise)
    video = batch[0]["video"][..., top : top + 16, left : left + 16].double().numpy() / 255

    def by_loop(decoded, mean, log_variance) -> tuple[float, float, float]:
        return objectives.autoencoder_loss(decoded, video, mean, log_variance)

    leaves = [decoded, mean, log_variance]
    expected = by_loop(*(leaf.detach().numpy() for leaf in leaves))
    got = [values[name].item() for name in ("loss", "psnr", "kl")]
    assert got == pytest.approx(expected, rel=1e-6)
    assert_slope(values["loss"], leaves, lambda *arrays: by_loop(*arrays)[0])
    # At its small weight the divergence could hide in the other terms' slope.
    analytic = 1e-4 * 0.5 * (log_variance.exp() - 1) / log_variance.numel()
    torch.testing.assert_close(log_variance.grad, analytic.detach())
    torch.testing.assert_close(mean.grad, 1e-4 * mean.detach() / mean.numel())


def test_diffusion_loss_matches_the_loop_with_its_gradient(batch) -> None:
    dit = CompactDiT(latent_channels=3, dim=24, num_layers=1, num_heads=3, num_key_value_heads=1, text_dim=16)
    velocity = randn(2, 2, 3, 4, 4, seed=1)
    seen: list[tuple] = []
    dit.forward = lambda *arguments: seen.append(arguments) or velocity
    loss = diffusion_losses(dit, *batch, generator(11))["loss"]

    draws = generator(11)
    clean = batch[0]["latents"].double()
    noise = torch.randn(clean.shape, generator=draws).double()
    time = torch.sigmoid(torch.randn(2, generator=draws) + 0.3)
    kept = torch.rand(2, generator=draws) >= 0.1
    noisy, given_time, _, prompts = seen[0]
    t = time.double()[:, None, None, None, None]
    torch.testing.assert_close(noisy[:, 1:].double(), ((1 - t) * clean + t * noise)[:, 1:])
    assert torch.equal(noisy[:, 0].double(), clean[:, 0]) and torch.equal(given_time, time)
    assert prompts == [text if keep else "" for text, keep in zip(batch[1], kept.tolist(), strict=True)]

    def by_loop(velocity: np.ndarray) -> float:
        return float(objectives.diffusion_loss(velocity, clean.numpy(), noise.numpy()))

    assert loss.item() == pytest.approx(by_loop(velocity.detach().numpy()), rel=1e-6)
    assert_slope(loss, [velocity], by_loop)


@pytest.mark.parametrize("pixel_stride", [1, 2])
def test_reconstruction_loss_matches_the_loop_with_its_gradient(batch, pixel_stride) -> None:
    """The network's maps and what they look like are given; truth and terms are worked out pixel by pixel."""
    clips, side = batch[0], 32 // pixel_stride
    ldrm = LDRM(**{"latent_channels": 3, **NARROW}, pixel_stride=pixel_stride)
    maps = (0.5 * randn(2, 2, 12, side, side, seed=1)).detach().requires_grad_()
    deformation = (0.5 * randn(2, 2, 2, 10, side, side, seed=2)).detach().requires_grad_()
    rendered = randn(2, 2, 3, 32, 32, seed=3)
    encoded: list[torch.Tensor] = []

    def encode(latents: torch.Tensor, cameras, *, image: torch.Tensor) -> LDRMFeatures:
        encoded.append(latents)
        features = torch.zeros(2, 2, 5, side, side)
        return LDRMFeatures(
            maps, features, (), torch.tensor([[0.0, 1.0]] * 2), cameras, torch.eye(4).expand(2, 4, 4)
        )

    film = SimpleNamespace(color=rendered)
    ldrm.encode, ldrm.deform = encode, lambda features, times: deformation
    ldrm.decode = lambda *_, **__: SimpleNamespace(render=lambda cameras, times: film)
    values = reconstruction_losses(ldrm, clips, generator(4), noise=0.3, num_rendered=4)

    draws = generator(4)
    strength = 0.3 * torch.rand(2, 1, 1, 1, 1, generator=draws)
    noise = torch.randn(clips["latents"].shape, generator=draws)
    torch.testing.assert_close(encoded[0], clips["latents"] + strength * noise)
    picks = sorted(torch.randperm(5, generator=draws)[:2].tolist())
    top, left = torch.randint(0, pixel_stride, (2,), generator=draws).tolist()
    truth = true_values(clips, picks, pixel_stride, top, left)

    leaves = [maps, deformation, rendered]
    arrays = [leaf.detach().numpy() for leaf in leaves]
    terms = objectives.reconstruction_terms(*arrays, truth)
    assert values["loss"].item() == pytest.approx(objectives.reconstruction_loss(*arrays, truth), rel=1e-5)
    expected = {
        "depth": terms["depth"],
        "color": terms["color"],
        "motion": terms["motion_ratio"],
        "rotation": terms["rotation_ratio"],
        "psnr": -10 * np.log10(terms["photo"]),
    }
    assert {name: values[name].item() for name in expected} == pytest.approx(expected, rel=1e-4)

    def by_loop(*moved: np.ndarray) -> float:
        # the orientation of a Gaussian is left to what it looks like
        moved[0][:, :, 7:11] = arrays[0][:, :, 7:11]
        return float(objectives.reconstruction_loss(*moved, truth))

    assert_slope(values["loss"], leaves, by_loop)


def true_values(clips: dict[str, torch.Tensor], picks: list[int], stride: int, top: int, left: int) -> dict:
    """Depth, motion and colours of one pixel in each square of the frames with Gaussians, by loops."""
    arrays = {name: value.double().numpy() for name, value in clips.items() if name != "latents"}
    depth = np.maximum(arrays["depth"][..., top::stride, left::stride], 1e-2)
    moves = np.zeros((depth.shape[0], len(picks), depth.shape[1], 3, *depth.shape[2:]))
    turns, moving = np.zeros_like(moves), np.zeros(depth.shape, dtype=bool)
    for b, f, h, w in np.ndindex(*depth.shape):
        row, column = top + stride * h, left + stride * w
        item = int(arrays["object_index"][b, f, row, column])
        motion = arrays["object_motion"][b, item]
        travel = np.linalg.norm(np.diff(motion[:, :, 3], axis=0), axis=-1).sum()
        moving[b, f, h, w] = travel > 0.02 or np.linalg.norm(motion[-1, :, :3] - motion[0, :, :3]) > 0.02
        pose = arrays["camera_to_world"][b, 4 * f]
        for t, pick in enumerate(picks):
            ends = motion[4 * f], motion[pick]
            moves[b, t, f, :, h, w] = reference.displacement(
                depth[b, f, h, w], row, column, pose, arrays["intrinsics"][b, 4 * f], *ends
            )
            turns[b, t, f, :, h, w] = reference.turn(pose, *ends)
    video = arrays["video"] / 255
    squares = [video[:, 4::4, :, i::stride, j::stride] for i in range(stride) for j in range(stride)]
    return {
        "depth": depth,
        "moves": moves,
        "turns": turns,
        "moving": moving,
        "later": sum(squares) / stride**2,
        "frames": video[:, picks],
    }


@pytest.mark.parametrize("bfloat16", [False, True])
def test_autoencoder_objective(batch, bfloat16) -> None:
    torch.manual_seed(0)
    vae = CausalVideoVAE(latent_channels=3, width=8, num_blocks=1)
    stir(vae, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        values = autoencoder_losses(vae, batch[0], generator(), crop=16)
    assert set(values) == {"loss", "psnr", "kl"} and all(torch.isfinite(v) for v in values.values())
    values["loss"].backward()
    check_gradients(vae)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_diffusion_objective(batch, bfloat16) -> None:
    torch.manual_seed(0)
    dit = CompactDiT(latent_channels=3, dim=24, num_layers=2, num_heads=3, num_key_value_heads=1, text_dim=16)
    stir(dit, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        values = diffusion_losses(dit, *batch, generator())
    assert torch.isfinite(values["loss"])
    values["loss"].backward()
    check_gradients(dit)


def test_fresh_velocity_has_the_loss_of_the_target(batch) -> None:
    """Zero velocity leaves the mean square of noise - clean, about 1 + the power of the latents."""
    dit = CompactDiT(latent_channels=3, dim=24, num_layers=1, num_heads=3, num_key_value_heads=1, text_dim=16)
    latents = batch[0]["latents"][:, 1:]
    noise = torch.randn(2, 2, 3, 4, 4, generator=generator(7))[:, 1:]
    loss = diffusion_losses(dit, *batch, generator(7))["loss"]
    assert loss.item() == pytest.approx((noise - latents).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("pixel_stride", [1, 2])
def test_reconstruction_objective(batch, bfloat16, pixel_stride) -> None:
    torch.manual_seed(0)
    ldrm = LDRM(**{"latent_channels": 3, **NARROW}, pixel_stride=pixel_stride)
    stir(ldrm, 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        values = reconstruction_losses(ldrm, batch[0], generator(), num_rendered=2)
        plain = reconstruction_losses(ldrm, batch[0], generator())
    assert set(values) == {"loss", "depth", "pearson", "motion", "rotation", "color", "psnr"}
    assert set(plain) == set(values) - {"psnr"}
    psnr = values["psnr"].double()
    assert (values["loss"] - plain["loss"]).item() == pytest.approx(5 * 10 ** (-psnr.item() / 10), rel=1e-2)
    assert all(torch.isfinite(value) for value in values.values())
    assert not any(value.requires_grad for name, value in values.items() if name != "loss")
    values["loss"].backward()
    check_gradients(ldrm)
    trained = (ldrm.gaussian_head.output.weight.grad != 0).flatten(1).any(1)
    assert trained.tolist() == [True] * 4 + [False] * 8, "depth and colour, but no size, orientation, opacity"
    assert (ldrm.deformation_head.output.weight.grad != 0).flatten(1).any(1).all(), "every channel is trained"


def test_bfloat16_rounds_the_network_but_not_the_truth(batch) -> None:
    ldrm = LDRM(**{"latent_channels": 3, **NARROW})
    exact = reconstruction_losses(ldrm, batch[0], generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = reconstruction_losses(ldrm, batch[0], generator())
    # a fresh deformation head gives zero, so that the ratio tells about the truth alone
    assert rough["motion"].item() == pytest.approx(exact["motion"].item(), abs=1e-6)


def test_cameras_of_a_batch(batch) -> None:
    cameras = batch_cameras(batch[0])
    assert cameras.batch_shape == (2,) and cameras.num_frames == 5
    assert (cameras.height, cameras.width) == (32, 32)
