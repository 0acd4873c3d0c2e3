"""The denoising loss: its definition, what it leaves out, and that it trains a camera adapter alone."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from backbones.tiny_models import clip, tiny_cogvideox, tiny_wan
from reference import backbones_camera_adapter as reference
from reference.finite_differences import slope
from torch import Tensor

from diff4splat.backbones import PluckerAdapter, denoising_loss

KEPT = np.linspace(0.999, 0.01, 11)


@dataclass
class Line:
    """A model whose prediction is w z + b τ, with a known first frame where asked for."""

    weight: Tensor
    kind: str
    known: Tensor | None

    @property
    def scheduler(self) -> Any:
        config = {"num_train_timesteps": 11, "prediction_type": self.kind}
        return SimpleNamespace(config=config, alphas_cumprod=torch.from_numpy(KEPT).float())

    def predict(self, latents: Tensor, timestep: Tensor, condition: Any, conditional: bool = True) -> Tensor:
        scale = 1.0 if conditional else 2.0
        return scale * self.weight * latents + 0.01 * timestep[:, None, None, None, None]

    def hold(self, latents: Tensor, condition: Any) -> Tensor:
        return latents if self.known is None else torch.cat((self.known, latents[:, 1:]), dim=1)


@pytest.mark.parametrize("kind", ["flow_prediction", "v_prediction"])
@pytest.mark.parametrize("holds", [False, True])
def test_loss_matches_the_loop_with_its_gradient(kind: str, holds: bool) -> None:
    shape = (2, 3, 2, 2, 5)
    clean = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    times = torch.tensor([0.3, 0.95])
    weight = torch.tensor(0.7, requires_grad=True)
    model = Line(weight, kind, clean[:, :1] if holds else None)
    condition = SimpleNamespace(shape=shape)
    generator = torch.Generator().manual_seed(2)
    loss = denoising_loss(model, clean, condition, times=times, generator=generator)
    assert loss.shape == (2,) and loss.dtype == torch.float32
    known = np.zeros(shape[1:], dtype=bool)
    known[0] = holds

    def by_loop(weight):
        return np.array(
            [
                reference.denoising_loss(
                    clean[index].double().numpy(),
                    noise[index].double().numpy(),
                    float(times[index]),
                    lambda noisy, timestep: weight * noisy + 0.01 * timestep,
                    known,
                    None if kind == "flow_prediction" else KEPT,
                    11,
                )
                for index in range(2)
            ]
        )

    np.testing.assert_allclose(loss.detach().numpy(), by_loop(0.7), rtol=1e-5)
    loss.sum().backward()
    difference = slope(lambda w: float(by_loop(w).sum()), [np.array(0.7)], [np.array(1.0)])
    assert weight.grad.item() == pytest.approx(difference, rel=1e-4)


def test_draws_come_from_the_generator_and_the_other_pass_can_be_trained() -> None:
    model = Line(torch.tensor(0.5), "flow_prediction", None)
    clean, condition = torch.ones(2, 3, 2, 2, 5), SimpleNamespace(shape=(2, 3, 2, 2, 5))

    def loss(seed: int, **options) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return denoising_loss(model, clean, condition, generator=generator, **options)

    state = torch.get_rng_state()
    assert torch.equal(loss(0), loss(0))
    assert not torch.equal(loss(0), loss(1))
    assert not torch.equal(loss(0), loss(0, conditional=False))
    assert torch.equal(torch.get_rng_state(), state)


def test_frames_that_a_model_puts_in_front_are_left_out() -> None:
    """CogVideoX 1.5 samples an even number of latent frames; what it predicts for the extra one is free."""
    backbone = tiny_cogvideox("1.5", camera_adapter=None)
    image, cameras = clip(backbone)
    condition = backbone.condition(image, cameras, ["a"], torch.Generator().manual_seed(0))
    latents = torch.randn(1, *backbone.spec.latent_shape(9, *image.shape[-2:]))
    assert condition.shape[1] == latents.shape[1] + 1
    predict = backbone.predict

    def loss(extra: float) -> Tensor:
        def changed(*arguments):
            prediction = predict(*arguments).clone()
            prediction[:, 0] += extra
            return prediction

        backbone.predict = changed
        with torch.no_grad():
            generator = torch.Generator().manual_seed(1)
            return denoising_loss(backbone, latents, condition, generator=generator)

    assert torch.equal(loss(0.0), loss(100.0))


@pytest.mark.parametrize("version", ["2.2", "A14B"])
def test_gradients_reach_the_adapter_alone(version: str) -> None:
    backbone = tiny_wan(version)
    adapter = PluckerAdapter(24, spatial_stride=backbone.spec.spatial_stride, hidden_dim=5)
    backbone.attach(adapter)
    backbone.requires_grad_(False)
    adapter.requires_grad_(True)
    image, cameras = clip(backbone, frames=5)
    latents = backbone.encode(image[:, None].repeat(1, 5, 1, 1, 1))
    generator = torch.Generator().manual_seed(0)
    denoising_loss(
        backbone, latents, backbone.condition(image, cameras), generator=generator
    ).sum().backward()
    assert adapter.write.weight.grad.abs().sum() > 0
    others = [parameter for name, parameter in backbone.named_parameters() if "camera_adapter" not in name]
    assert all(parameter.grad is None for parameter in others)


def train(moves: bool) -> float:
    """Loss at the end over loss at the start: latents are the way the camera went, noise says nothing."""
    backbone = tiny_wan("2.2")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone.attach(PluckerAdapter(24, spatial_stride=16, hidden_dim=8))
    backbone.requires_grad_(False)
    backbone.camera_adapter.requires_grad_(True)
    image, path = clip(backbone, batch=2, frames=5)
    turned = path.camera_to_world.clone()
    turned[1, :, :3, 3] *= -1  # the second clip moves the other way
    cameras = type(path)(turned, path.intrinsics, path.height, path.width)
    cameras = cameras if moves else cameras.at_rest()
    latents = torch.ones(2, *backbone.spec.latent_shape(5, path.height, path.width))
    latents[1] = -1
    optimizer = torch.optim.Adam(backbone.camera_adapter.parameters(), lr=0.03)
    generator, losses = torch.Generator().manual_seed(1), []
    for _ in range(25):
        condition = backbone.condition(image[:1].expand_as(image), cameras)
        times = torch.full((2,), 0.999)
        loss = denoising_loss(backbone, latents, condition, times=times, generator=generator).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return float(np.mean(losses[-5:]) / losses[0])


def test_a_trained_adapter_uses_the_path() -> None:
    with_path, without = train(True), train(False)
    assert with_path < 0.9
    assert with_path < without - 0.05


def test_bad_input() -> None:
    condition = SimpleNamespace(shape=(2, 3, 2, 2, 5))
    flow = Line(torch.tensor(1.0), "flow_prediction", None)
    with pytest.raises(ValueError, match="must predict a flow or v, got prediction_type='epsilon'"):
        denoising_loss(Line(torch.tensor(1.0), "epsilon", None), torch.ones(2, 3, 2, 2, 5), condition)
    with pytest.raises(ValueError, match=r"latents must have the shape of the condition \(2, 3, 2, 2, 5\)"):
        denoising_loss(flow, torch.ones(2, 3, 2, 2, 7), condition)
    with pytest.raises(ValueError, match="latents must have the shape"):
        denoising_loss(flow, torch.ones(2, 4, 2, 2, 5), condition)
