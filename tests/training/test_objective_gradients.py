"""Who gets gradients from an objective, and from which clips."""

import pytest
import torch
from torch import Tensor, nn
from training.parts import (
    IMAGE_LOSSES,
    JOINT_LOSSES,
    MAP_LOSSES,
    VAE_LOSSES,
    as_tracks,
    draws,
    image_distance,
    narrow_ldrm,
    small_clips,
    small_dit,
    small_vae,
    stage,
    stirred,
    with_unknown_depth,
)

from diff4splat.training import Objective


@pytest.fixture(scope="module")
def batch() -> tuple[dict[str, Tensor], list[str]]:
    return small_clips()


def check_gradients(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert (parameter.grad != 0).any(), name


@pytest.mark.parametrize("bfloat16", [False, True])
def test_every_weight_of_the_autoencoder_gets_a_gradient(batch, bfloat16) -> None:
    vae = stirred(small_vae())
    objective = Objective({"vae": vae}, stage("vae", VAE_LOSSES, crop=16))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        values = objective(*batch, draws())
    assert set(values.terms) == {"pixel", "edges", "kl", "psnr"} and not values.ratios
    assert all(torch.isfinite(v) and not v.requires_grad for v in values.terms.values())
    values.loss.backward()
    check_gradients(vae)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_every_weight_of_the_diffusion_transformer_gets_a_gradient(batch, bfloat16) -> None:
    dit = stirred(small_dit())
    objective = Objective({"dit": dit}, stage("dit", {"flow_matching": 1.0}))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        values = objective(*batch, draws())
    assert set(values.terms) == {"flow_matching"} and torch.isfinite(values.loss)
    values.loss.backward()
    check_gradients(dit)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize(
    "options", [{"pixel_stride": 1}, {"pixel_stride": 2}, {"every_frame": True}], ids=str
)
def test_every_weight_of_the_reconstruction_model_gets_a_gradient(batch, bfloat16, options) -> None:
    ldrm = stirred(narrow_ldrm(**options))
    weights = {**MAP_LOSSES, **IMAGE_LOSSES}
    objective = Objective({"ldrm": ldrm}, stage("ldrm", weights, rendered=1), perceptual=image_distance)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
        values = objective(*batch, draws())
    assert set(values.terms) == {*weights, "correlation"} and set(values.ratios) == {"motion", "rotation"}
    assert all(torch.isfinite(value) and not value.requires_grad for value in values.terms.values())
    assert not any(value.requires_grad for value in values.ratios.values())
    values.loss.backward()
    check_gradients(ldrm)
    for head in (ldrm.gaussian_head, ldrm.deformation_head):
        assert (head.output.weight.grad != 0).flatten(1).any(1).all(), "every channel is trained"


@pytest.mark.parametrize("losses", [{"photometric": 1.0}, {**MAP_LOSSES, "photometric": 1.0}], ids=len)
def test_shapes_that_are_kept_get_no_gradient(batch, losses) -> None:
    """Depth and colour are trained, but no size, orientation, opacity."""
    ldrm = stirred(narrow_ldrm())
    objective = Objective({"ldrm": ldrm}, stage("ldrm", losses, rendered=2, shapes="kept"))
    objective(*batch, draws()).loss.backward()
    trained = (ldrm.gaussian_head.output.weight.grad != 0).flatten(1).any(1)
    assert trained.tolist() == [True] * 4 + [False] * 8


def test_maps_alone_train_no_shapes(batch) -> None:
    ldrm = stirred(narrow_ldrm())
    Objective({"ldrm": ldrm}, stage("ldrm", MAP_LOSSES))(*batch, draws()).loss.backward()
    trained = (ldrm.gaussian_head.output.weight.grad != 0).flatten(1).any(1)
    assert trained.tolist() == [True] * 4 + [False] * 8


def test_frozen_parts_stay_as_they_are(batch) -> None:
    parts = {"vae": small_vae(), "dit": stirred(small_dit()), "ldrm": stirred(narrow_ldrm())}
    losses = {"depth": 1.0, "color": 1.0, "photometric": 1.0}
    frozen = stage("ldrm", losses, rendered=1, freeze=("ldrm.deformation_head", "ldrm.tokens"))
    objective = Objective(parts, frozen)
    objective(*batch, draws()).loss.backward()
    for name, parameter in objective.named_parameters():
        trained = name.startswith("ldrm.") and not name.startswith(frozen.freeze)
        assert parameter.requires_grad == trained, name
        assert (parameter.grad is not None) == trained, name
    objective.train()
    assert [part.training for part in parts.values()] == [False, False, True]


def test_a_later_stage_thaws_what_an_earlier_one_froze() -> None:
    ldrm = narrow_ldrm()
    Objective({"ldrm": ldrm}, stage("ldrm", {"depth": 1.0}, freeze=("ldrm.blocks",)))
    assert not any(parameter.requires_grad for parameter in ldrm.blocks.parameters())
    Objective({"ldrm": ldrm}, stage("ldrm", MAP_LOSSES))
    assert all(parameter.requires_grad for parameter in ldrm.parameters())


@pytest.mark.parametrize("train", [("dit", "ldrm"), ("dit",), ("ldrm",)], ids="+".join)
def test_gradients_flow_through_denoised_latents(batch, train) -> None:
    """Into the parts that are trained, and through a frozen reconstruction model."""
    dit, ldrm = stirred(small_dit()), stirred(narrow_ldrm())
    losses = {name: weight for name, weight in JOINT_LOSSES.items() if name != "flow_matching"}
    joint = stage(train, losses, latents="denoised", rendered=2)
    objective = Objective({"dit": dit, "ldrm": ldrm}, joint)
    values = objective(*batch, draws())
    assert "flow_matching" not in values.terms
    values.loss.backward()
    for name, part in {"dit": dit, "ldrm": ldrm}.items():
        if name in train:
            gradients = [p.grad for p in part.parameters() if p.grad is not None]
            assert all(torch.isfinite(gradient).all() for gradient in gradients)
            assert any((gradient != 0).any() for gradient in gradients), name
        else:
            assert all(parameter.grad is None for parameter in part.parameters()), name
    if "dit" in train:
        check_gradients(dit)


@pytest.mark.parametrize("unknown", [0.0, torch.nan, torch.inf])
def test_unknown_depth_changes_nothing(batch, unknown) -> None:
    """Whatever stands where depth is unknown, values and gradients are the same, and finite."""
    losses = {**MAP_LOSSES, "pearson": 1.0}
    results = []
    for value in (0.0, unknown):
        ldrm = stirred(narrow_ldrm())
        objective = Objective({"ldrm": ldrm}, stage("ldrm", losses, rendered=1))
        values = objective(with_unknown_depth(batch[0], value), batch[1], draws())
        values.loss.backward()
        results.append([values.loss.detach(), *values.terms.values(), *(p.grad for p in ldrm.parameters())])
    for first, second in zip(*results, strict=True):
        assert torch.isfinite(first).all() and torch.equal(first, second)


def test_depth_that_is_nowhere_known_gives_no_gradient(batch) -> None:
    ldrm = stirred(narrow_ldrm())
    losses = {"depth": 1.0, "depth_slope": 1.0, "motion": 1.0, "point_motion": 1.0, "pearson": 1.0}
    objective = Objective({"ldrm": ldrm}, stage("ldrm", losses, rendered=1))
    values = objective(with_unknown_depth(batch[0], torch.nan, share=1.1), batch[1], draws())
    values.loss.backward()
    assert values.loss == 0
    assert all((parameter.grad == 0).all() for parameter in ldrm.parameters() if parameter.grad is not None)


@pytest.mark.parametrize("pixel_stride", [1, 2])
def test_clips_with_tracks_are_trained_on_too(batch, pixel_stride) -> None:
    ldrm = stirred(narrow_ldrm(pixel_stride=pixel_stride))
    objective = Objective({"ldrm": ldrm}, stage("ldrm", MAP_LOSSES))
    values = objective(with_unknown_depth(as_tracks(batch[0]), torch.nan), batch[1], draws())
    assert torch.isfinite(values.loss) and values.terms["motion"] > 0 and values.terms["point_motion"] > 0
    assert values.terms["rotation"] == 0 and values.ratios["rotation"].tolist() == [0, 0]
    values.loss.backward()
    check_gradients(ldrm)


def test_clips_without_latents_are_encoded(batch) -> None:
    clips, captions = batch
    vae = stirred(small_vae())
    with torch.no_grad():
        latents = vae.encode(clips["video"].float() / 255)
    bare = {name: value for name, value in clips.items() if name != "latents"}
    what = stage("ldrm", {"depth": 1.0})
    ldrm = stirred(narrow_ldrm())
    expected = Objective({"ldrm": ldrm}, what)({**clips, "latents": latents}, captions, draws()).loss
    for objective in (
        Objective({"vae": vae, "ldrm": ldrm}, what),
        Objective({"ldrm": ldrm}, what, encode=vae.encode),
    ):
        values = objective(bare, captions, draws())
        torch.testing.assert_close(values.loss, expected)
        values.loss.backward()
        assert all(parameter.grad is None for parameter in vae.parameters())
    with pytest.raises(ValueError, match="clips must hold latents when there is neither encode nor a vae"):
        Objective({"ldrm": ldrm}, what)(bare, captions, draws())
