"""What a stage minimises: every term against loops, and who gets gradients from it."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from reference import training_motion as motion
from reference import training_objectives as reference
from reference.finite_differences import slope
from torch import Tensor, nn
from training.parts import (
    IMAGE_LOSSES,
    JOINT_LOSSES,
    MAP_LOSSES,
    VAE_LOSSES,
    as_tracks,
    draws,
    generator,
    image_distance,
    narrow_ldrm,
    small_clips,
    small_dit,
    small_vae,
    stage,
    stirred,
    target_frames,
    with_unknown_depth,
)

from diff4splat.models import LDRMFeatures
from diff4splat.training import Objective, StepValues
from diff4splat.training.objective import _target_frames


@pytest.fixture(scope="module")
def batch() -> tuple[dict[str, Tensor], list[str]]:
    return small_clips()


def randn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).requires_grad_()


def assert_slope(loss: Tensor, leaves: list[Tensor], by_loop) -> None:
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


def means(terms: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([clip[name] for clip in terms])) for name in terms[0]}


def weighted(terms: dict[str, float], weights: dict[str, float]) -> float:
    return sum(weight * terms[name] for name, weight in weights.items())


def values_of(values: StepValues) -> dict[str, float]:
    return {name: value.item() for name, value in values.terms.items()}


def test_autoencoder_loss_matches_the_loop_with_its_gradient(batch) -> None:
    """The network's answers are given, so that only the loss is compared."""
    vae = small_vae()
    mean, log_variance = randn(2, 2, 3, 2, 2, seed=1), randn(2, 2, 3, 2, 2, seed=2)
    decoded = randn(2, 5, 3, 16, 16, seed=3)
    sampled: list[Tensor] = []
    vae.posterior = lambda video: (mean, log_variance)
    vae.decode = lambda sample: sampled.append(sample) or decoded
    values = Objective({"vae": vae}, stage("vae", VAE_LOSSES, crop=16))(*batch, draws())

    same = draws()
    top, left = (int(torch.randint(0, 17, (1,), generator=same.batch)) for _ in range(2))
    noise = same.normal(*mean.shape[1:])
    torch.testing.assert_close(sampled[0], mean + (log_variance / 2).exp() * noise)
    video = batch[0]["video"][..., top : top + 16, left : left + 16].double().numpy() / 255

    def by_loop(decoded, mean, log_variance) -> dict[str, float]:
        clips = zip(decoded, video, mean, log_variance, strict=True)
        return means([reference.autoencoder_terms(*clip) for clip in clips])

    leaves = [decoded, mean, log_variance]
    expected = by_loop(*(leaf.detach().numpy() for leaf in leaves))
    assert values_of(values) == pytest.approx(expected, rel=1e-6)
    assert values.loss.item() == pytest.approx(weighted(expected, VAE_LOSSES), rel=1e-6)
    assert_slope(values.loss, leaves, lambda *arrays: weighted(by_loop(*arrays), VAE_LOSSES))
    # At its small weight the divergence could hide in the other terms' slope.
    analytic = 1e-4 * 0.5 * (log_variance.exp() - 1) / log_variance.numel()
    torch.testing.assert_close(log_variance.grad, analytic.detach())
    torch.testing.assert_close(mean.grad, 1e-4 * mean.detach() / mean.numel())


def test_a_decoder_is_trained_on_the_latents_that_others_read(batch) -> None:
    """Without the divergence and with a frozen encoder: no noise, and latents as they are normalised."""
    vae = small_vae()
    vae.set_normalization(torch.tensor([0.3, -0.2, 0.1]), torch.tensor([2.0, 0.5, 1.5]))
    what = replace(stage("vae", {"pixel": 1.0, "edges": 0.3}), freeze=("vae.encoder",))
    objective = Objective({"vae": vae}, what)
    video = batch[0]["video"].float() / 255
    error = vae.decode(vae.encode(video)) - video
    values = objective(*batch, draws())
    expected = (error.square() + 1e-4).sqrt().mean()
    assert values.terms["pixel"].item() == pytest.approx(expected.item(), rel=1e-5)
    values.loss.backward()
    trained = {name.split(".")[1] for name, p in objective.named_parameters() if p.grad is not None}
    assert trained == {"decoder"}


def test_whole_images_without_a_crop(batch) -> None:
    vae, seen = small_vae(), []
    posterior = vae.posterior
    vae.posterior = lambda video: seen.append(video) or posterior(video)
    Objective({"vae": vae}, stage("vae", VAE_LOSSES))(*batch, draws())
    torch.testing.assert_close(seen[0], batch[0]["video"].float() / 255)


def test_diffusion_loss_matches_the_loop_with_its_gradient(batch) -> None:
    dit = small_dit()
    velocity = randn(2, 2, 3, 4, 4, seed=1)
    seen: list[tuple] = []
    dit.forward = lambda *arguments: seen.append(arguments) or velocity
    values = Objective({"dit": dit}, stage("dit", {"flow_matching": 0.8}))(*batch, draws(step=11))

    same = draws(step=11)
    clean = batch[0]["latents"].double()
    time = torch.sigmoid(same.normal() + 0.3)
    kept = same.uniform() >= 0.1
    noise = same.normal(*clean.shape[1:]).double()
    noisy, given_time, _, prompts = seen[0]
    t = time.double()[:, None, None, None, None]
    torch.testing.assert_close(noisy[:, 1:].double(), ((1 - t) * clean + t * noise)[:, 1:])
    assert torch.equal(noisy[:, 0].double(), clean[:, 0]) and torch.equal(given_time, time)
    assert prompts == [text if keep else "" for text, keep in zip(batch[1], kept.tolist(), strict=True)]

    def by_loop(velocity: np.ndarray) -> float:
        clips = zip(velocity, clean.numpy(), noise.numpy(), strict=True)
        return 0.8 * float(np.mean([reference.diffusion_loss(*clip) for clip in clips]))

    assert values.loss.item() == pytest.approx(by_loop(velocity.detach().numpy()), rel=1e-6)
    assert_slope(values.loss, [velocity], by_loop)


def test_one_prompt_in_ten_is_dropped(batch) -> None:
    """So that the unconditional pass is trained."""
    dit, prompts = small_dit(), []
    dit.forward = lambda noisy, time, rays, texts: prompts.extend(texts) or torch.zeros_like(noisy)
    objective = Objective({"dit": dit}, stage("dit", {"flow_matching": 1.0}))
    for step in range(211):
        objective(*batch, draws(step=step))
    # 422 prompts: a standard error of 1.5 %
    assert 0.05 < prompts.count("") / len(prompts) < 0.16


def test_fresh_velocity_has_the_loss_of_the_target(batch) -> None:
    """Zero velocity leaves the mean square of noise - clean, about 1 + the power of the latents."""
    same = draws()
    same.normal(), same.uniform()
    noise, latents = same.normal(2, 3, 4, 4)[:, 1:], batch[0]["latents"][:, 1:]
    loss = Objective({"dit": small_dit()}, stage("dit", {"flow_matching": 1.0}))(*batch, draws()).loss
    assert loss.item() == pytest.approx((noise - latents).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("pixel_stride", [1, 2])
def test_reconstruction_loss_matches_the_loop_with_its_gradient(batch, pixel_stride) -> None:
    """The network's maps and what they look like are given; truth and terms are worked out pixel by pixel."""
    clips, side = with_unknown_depth(batch[0], torch.nan), 32 // pixel_stride
    ldrm = narrow_ldrm(pixel_stride=pixel_stride)
    maps = (0.5 * randn(2, 2, 12, side, side, seed=1)).detach().requires_grad_()
    deformation = (0.5 * randn(2, 3, 2, 10, side, side, seed=2)).detach().requires_grad_()
    color, shown = randn(2, 3, 3, 32, 32, seed=3), randn(2, 3, 1, 32, 32, seed=4)
    encoded: list[Tensor] = []
    asked: list[Tensor] = []

    def encode(latents: Tensor, cameras, *, image: Tensor) -> LDRMFeatures:
        encoded.append(latents)
        features = torch.zeros(2, 2, 5, side, side)
        relative = cameras.relative_to(None).select(slice(None, None, 4))
        times = torch.tensor([[0.0, 1.0]] * 2)
        return LDRMFeatures(maps, features, (), times, relative, torch.eye(4).expand(2, 4, 4))

    film = SimpleNamespace(color=color, depth=shown)
    ldrm.encode, ldrm.deform = encode, lambda features, times: asked.append(times) or deformation
    ldrm.decode = lambda *_, **__: SimpleNamespace(render=lambda cameras, times: film)
    weights = {**MAP_LOSSES, **IMAGE_LOSSES}
    options = {"latent_noise": 0.3, "rendered": 2, "target_times": 3}
    objective = Objective({"ldrm": ldrm}, stage("ldrm", weights, **options), perceptual=image_distance)
    # both key frames are among the target frames
    step = next(s for s in range(97) if {0, 4} < set(target_frames(s, 3, with_key=True)))
    values = objective(clips, batch[1], draws(step=step))

    same = draws(step=step)
    strength = 0.3 * same.uniform(1, 1, 1, 1)
    noise = same.normal(*clips["latents"].shape[1:])
    torch.testing.assert_close(encoded[0], clips["latents"] + strength * noise)
    picks = _target_frames(5, 3, same.batch, with_key=True).tolist()
    assert picks == target_frames(step, 3, with_key=True)
    assert torch.equal(asked[0], torch.tensor([[pick / 4 for pick in picks]] * 2))
    top, left = torch.randint(0, pixel_stride, (2,), generator=same.batch).tolist()
    truths = true_values(clips, picks, pixel_stride, top, left)
    frames = clips["video"][:, picks].double().numpy() / 255
    keys = {place: pick // 4 for place, pick in enumerate(picks) if pick % 4 == 0}
    key_depths = [
        {place: clip[key] for place, key in keys.items()} for clip in clips["depth"].double().numpy()
    ]

    def by_loop(maps, deformation, color, shown) -> tuple[dict[str, float], list[dict]]:
        found, sums = zip(*map(reference.map_terms, maps, deformation, truths), strict=True)
        images = map(reference.image_terms, color, shown[:, :, 0], frames, key_depths)
        terms = {**means(list(found)), **means(list(images))}
        return {**terms, "perceptual": float(np.mean(np.abs(color - frames)))}, list(sums)

    leaves = [maps, deformation, color, shown]
    arrays = [leaf.detach().numpy() for leaf in leaves]
    expected, sums = by_loop(*arrays)
    got = values_of(values)
    assert -1 <= got.pop("correlation") <= 1
    assert got == pytest.approx(expected, rel=1e-4)
    for name in ("motion", "rotation"):
        total = np.sum([clip[name] for clip in sums], axis=0)
        np.testing.assert_allclose(values.ratios[name].numpy(), total, rtol=1e-4)
    assert values.loss.item() == pytest.approx(weighted(expected, weights), rel=1e-5)

    def loss_by_loop(*moved: np.ndarray) -> float:
        # the orientation of a Gaussian is left to what it looks like
        moved[0][:, :, 7:11] = arrays[0][:, :, 7:11]
        return weighted(by_loop(*moved)[0], weights)

    assert_slope(values.loss, leaves, loss_by_loop)


def true_values(clips: dict[str, Tensor], picks: list[int], stride: int, top: int, left: int) -> list[dict]:
    """Depth, motion and colours of one pixel in each square of the key frames of each clip, by loops."""
    arrays = {name: value.double().numpy() for name, value in clips.items() if name != "latents"}
    depth = arrays["depth"][..., top::stride, left::stride]
    known = np.isfinite(depth) & (depth > 0)
    moves = np.zeros((depth.shape[0], len(picks), depth.shape[1], 3, *depth.shape[2:]))
    turns, moving = np.zeros_like(moves), np.zeros(depth.shape, dtype=bool)
    leaves = [[motion.leaves(item) for item in clip] for clip in arrays["object_motion"]]
    for b, f, h, w in np.ndindex(*depth.shape):
        row, column = top + stride * h, left + stride * w
        item = int(arrays["object_index"][b, f, row, column])
        moving[b, f, h, w] = leaves[b][item]
        path, pose = arrays["object_motion"][b, item], arrays["camera_to_world"][b, 4 * f]
        for t, pick in enumerate(picks):
            ends = path[4 * f], path[pick]
            moves[b, t, f, :, h, w] = motion.displacement(
                depth[b, f, h, w], row, column, pose, arrays["intrinsics"][b, 4 * f], *ends
            )
            turns[b, t, f, :, h, w] = motion.turn(pose, *ends)
    assert moving.any() and not known.all()
    video = arrays["video"] / 255
    squares = [video[:, 4::4, :, i::stride, j::stride] for i in range(stride) for j in range(stride)]
    later = sum(squares) / stride**2
    axes = arrays["camera_to_world"][..., :3, :3]
    return [
        {
            "depth": depth[b],
            "known": known[b],
            "moves": moves[b],
            "turns": turns[b],
            "moving": moving[b],
            "later": later[b],
            "axes": [axes[b, 0].T @ axes[b, frame] for frame in range(0, len(axes[b]), 4)],
        }
        for b in range(len(depth))
    ]


def test_bfloat16_rounds_the_network_but_not_the_truth(batch) -> None:
    objective = Objective({"ldrm": narrow_ldrm()}, stage("ldrm", {"motion": 1.0}))
    exact = objective(*batch, draws())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = objective(*batch, draws())
    # a fresh deformation head gives zero, so that the error tells about the truth alone
    torch.testing.assert_close(rough.terms["motion"], exact.terms["motion"], rtol=0, atol=1e-6)
    torch.testing.assert_close(rough.ratios["motion"], exact.ratios["motion"], rtol=1e-6, atol=0)


def test_denoised_latents_are_where_the_velocity_points(batch) -> None:
    """With the true velocity they are the clean ones; the first is given."""
    dit, seen = small_dit(), []
    noisy: list[Tensor] = []

    def velocity(latents: Tensor, time: Tensor, rays: Tensor, prompts: list[str]) -> Tensor:
        noisy.append(latents)
        return (latents - batch[0]["latents"]) / time[:, None, None, None, None]

    dit.forward = velocity
    ldrm = narrow_ldrm()
    encode = ldrm.encode
    ldrm.encode = lambda latents, *rest, **options: seen.append(latents) or encode(latents, *rest, **options)
    joint = stage(("dit", "ldrm"), {"flow_matching": 1.0, "depth": 1.0}, latents="denoised")
    Objective({"dit": dit, "ldrm": ldrm}, joint)(*batch, draws())
    assert (noisy[0][:, 1:] - batch[0]["latents"][:, 1:]).abs().max() > 0.1
    torch.testing.assert_close(seen[0], batch[0]["latents"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("rendered", [1, 2])
def test_unsure_clips_count_less(batch, rendered) -> None:
    """Terms of the reconstruction model have the weight 1 - t of their own clip, in the loss alone."""
    parts = {"dit": stirred(small_dit()), "ldrm": stirred(narrow_ldrm())}
    joint = stage(("dit", "ldrm"), JOINT_LOSSES, latents="denoised", rendered=rendered)
    objective = Objective(parts, joint)
    clips, captions = batch
    expected, terms = 0.0, []
    for row in range(2):
        one = {name: value[row : row + 1] for name, value in clips.items()}
        values = values_of(objective(one, captions[row : row + 1], draws([row])))
        certainty = 1 - torch.sigmoid(draws([row]).normal() + 0.3).item()
        if row >= rendered:
            values |= {"photometric": 0.0, "pearson": 0.0}
        scale = {"flow_matching": 0.5, "depth": 0.5 * certainty}
        scale |= dict.fromkeys(("photometric", "pearson"), certainty / rendered)
        expected += sum(weight * scale[name] * values[name] for name, weight in JOINT_LOSSES.items())
        terms.append(values)
    whole = objective(clips, captions, draws())
    assert whole.loss.item() == pytest.approx(expected, rel=1e-4)
    assert whole.terms["depth"].item() == pytest.approx(np.mean([row["depth"] for row in terms]), rel=1e-4)
    photometric = sum(row["photometric"] for row in terms) / rendered
    assert whole.terms["photometric"].item() == pytest.approx(photometric, rel=1e-4)


TRAINED = {
    "autoencoder": ("vae", VAE_LOSSES, {"crop": 16}),
    "diffusion": ("dit", {"flow_matching": 1.0}, {}),
    "reconstruction": ("ldrm", {**MAP_LOSSES, **IMAGE_LOSSES}, {"rendered": 2}),
    "joint": (("dit", "ldrm"), {**JOINT_LOSSES, "motion": 1.0}, {"rendered": 2, "latents": "denoised"}),
}


@pytest.mark.parametrize("kind", TRAINED)
def test_parts_of_a_batch_average_to_the_whole(batch, kind) -> None:
    train, losses, options = TRAINED[kind]
    modules = {"vae": small_vae(), "dit": stirred(small_dit()), "ldrm": stirred(narrow_ldrm())}
    what = stage(train, losses, **options)
    objective = Objective(modules, what, perceptual=image_distance)
    clips, captions = batch
    clips = with_unknown_depth(clips, 0.0)
    whole = objective(clips, captions, draws())
    halves = [
        objective(
            {name: v[row : row + 1] for name, v in clips.items()}, captions[row : row + 1], draws([row])
        )
        for row in range(2)
    ]
    for name, value in {**whole.terms, "loss": whole.loss}.items():
        parts = [half.loss if name == "loss" else half.terms[name] for half in halves]
        torch.testing.assert_close(torch.stack(parts).mean(), value, rtol=1e-4, atol=1e-6)
    for name, value in whole.ratios.items():
        torch.testing.assert_close(sum(half.ratios[name] for half in halves), value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", ["motion", "point_motion"])
def test_tracks_and_dense_motion_teach_the_same(batch, loss) -> None:
    """At a time at which every track is seen."""
    step = next(s for s in range(97) if target_frames(s, 1)[0] % 4)
    # what turns in place is a mover in the dense form, though a track through its axis rests
    clips = {**batch[0], "object_motion": batch[0]["object_motion"].clone()}
    clips["object_motion"][..., :3] = torch.eye(3)
    ldrm = stirred(narrow_ldrm(pixel_stride=1))
    objective = Objective({"ldrm": ldrm}, stage("ldrm", {loss: 1.0}, target_times=1))
    results = []
    for given in (clips, as_tracks(clips)):
        # tracks are known where depth is not; Eq. 5 needs it
        given = with_unknown_depth(given, torch.nan) if loss == "point_motion" else given
        results.append(objective(given, batch[1], draws(step=step)).loss)
        assert results[-1] > 0
    torch.testing.assert_close(*results, rtol=1e-4, atol=0)


@pytest.mark.parametrize("target_times", [1, 2, 5, 7])
def test_any_number_of_target_times(batch, target_times) -> None:
    losses = {"motion": 1.0, "photometric": 1.0, "pearson": 1.0, "total_variation": 1.0}
    ldrm = stirred(narrow_ldrm())
    what = stage("ldrm", losses, rendered=1, target_times=target_times)
    assert torch.isfinite(Objective({"ldrm": ldrm}, what)(*batch, draws()).loss)


def test_target_frames_are_different_frames_in_order() -> None:
    drawn = [_target_frames(9, 3, generator(seed), with_key=False).tolist() for seed in range(97)]
    assert all(picks == sorted(set(picks)) and len(picks) == 3 for picks in drawn)
    assert {frame for picks in drawn for frame in picks} == set(range(9))
    assert not all(any(frame % 4 == 0 for frame in picks) for picks in drawn)
    keyed = [_target_frames(9, 2, generator(seed), with_key=True).tolist() for seed in range(97)]
    assert all(picks == sorted(set(picks)) and len(picks) == 2 for picks in keyed)
    assert all(any(frame % 4 == 0 for frame in picks) for picks in keyed)
    assert {frame for picks in keyed for frame in picks} == set(range(9))


def test_a_perceptual_network_is_no_part_of_the_model_and_follows_it(batch) -> None:
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))
            self.moved_to: list[torch.device] = []

        def to(self, device: torch.device) -> "Network":
            self.moved_to.append(device)
            return super().to(device)

        def forward(self, image: Tensor, target: Tensor) -> Tensor:
            return self.scale * image_distance(image, target)

    network = Network()
    what = stage("ldrm", {"perceptual": 1.0}, rendered=1)
    objective = Objective({"ldrm": narrow_ldrm()}, what, perceptual=network)
    objective(*batch, draws())
    assert all(name.startswith("ldrm.") for name, _ in objective.named_parameters())
    assert network.moved_to == [batch[0]["video"].device]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="parts must hold 'dit', got ldrm"):
        Objective({"ldrm": narrow_ldrm()}, stage("ldrm", {"depth": 1.0}, latents="denoised"))
    with pytest.raises(ValueError, match="parts must hold 'ldrm', got none"):
        Objective({}, stage("ldrm", {"depth": 1.0}))
    with pytest.raises(ValueError, match="freeze must name parameters, got 'ldrm.nothing'"):
        Objective({"ldrm": narrow_ldrm()}, stage("ldrm", {"depth": 1.0}, freeze=("ldrm.nothing",)))
