"""The sampling loop around the schedulers of diffusers."""

from typing import Any

import numpy as np
import pytest
import torch
from backbones.tiny_models import seed
from reference.backbones_denoising import flow_by_euler, v_by_ddim
from torch import Tensor, nn

from diff4splat.backbones import denoise
from diff4splat.backbones.denoising import cache_context
from diff4splat.diffusion import ConstantGuidance, CosineGuidance, SampleStep


def scheduler(kind: str) -> Any:
    import diffusers

    v = {
        "prediction_type": "v_prediction",
        "timestep_spacing": "trailing",
        "rescale_betas_zero_snr": True,
        "snr_shift_scale": 1.0,
    }
    return {
        "euler": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        "unipc": lambda: diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        "ddim": lambda: diffusers.CogVideoXDDIMScheduler(**v),
        "dpm": lambda: diffusers.CogVideoXDPMScheduler(**v),
    }[kind]()


KINDS = ["euler", "unipc", "ddim", "dpm"]


def predict(latents: Any, timestep: Any, conditional: bool) -> Any:
    """Some function of all three, the same in numpy and torch."""
    lib = torch if isinstance(latents, Tensor) else np
    return lib.sin(latents + timestep / 700) + (0.3 if conditional else -0.1)


def torch_predict(latents: Tensor, timestep: Tensor, conditional: bool) -> Tensor:
    return predict(latents, timestep[:, None], conditional)


def noise(number: int = 0) -> Tensor:
    return torch.randn(2, 7, generator=seed(number))


def test_flow_matches_the_loop() -> None:
    seen: list[SampleStep] = []
    made = scheduler("euler")
    result = denoise(
        torch_predict,
        noise(),
        made,
        num_steps=5,
        guidance=ConstantGuidance(4.0),
        callback=lambda state: seen.append(state),
    )
    made.set_timesteps(5)
    sigmas = made.sigmas.double().numpy()
    states = flow_by_euler(
        lambda z, sigma, conditional: predict(z, 1000 * sigma, conditional), noise().numpy(), sigmas, 4.0
    )
    for state, (sample, clean) in zip(seen, states, strict=True):
        np.testing.assert_allclose(state.latents.numpy(), sample, atol=2e-5)  # float32
        np.testing.assert_allclose(state.clean.numpy(), clean, atol=2e-5)
        np.testing.assert_allclose((state.time, state.next_time), sigmas[state.step : state.step + 2])
    assert torch.equal(result, seen[-1].latents)


def test_v_prediction_matches_the_loop() -> None:
    seen: list[SampleStep] = []
    made = scheduler("ddim")
    denoise(
        torch_predict,
        noise(),
        made,
        num_steps=5,
        guidance=ConstantGuidance(4.0),
        callback=lambda state: seen.append(state),
    )
    alphas = made.alphas_cumprod.double().numpy()
    states = v_by_ddim(predict, noise().numpy(), [999, 799, 599, 399, 199], alphas, 1.0, 4.0)
    for state, (sample, clean) in zip(seen, states, strict=True):
        np.testing.assert_allclose(state.latents.numpy(), sample, atol=2e-5)  # float32
        np.testing.assert_allclose(state.clean.numpy(), clean, atol=2e-5)
    assert (seen[0].time, seen[-1].next_time) == (1.0, 0.0)
    np.testing.assert_allclose(seen[1].time, np.sqrt(1 - alphas[799]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_knows_the_answer_reaches_it_and_is_seen_to_from_the_start(kind) -> None:
    """Whatever the sample is, such a network points to one clean sample."""
    answer = noise(5)
    made = scheduler(kind)
    made.set_timesteps(5)
    levels = dict(zip(made.timesteps.tolist(), getattr(made, "sigmas", made.timesteps), strict=False))

    def knows(latents: Tensor, timestep: Tensor, conditional: bool) -> Tensor:
        if kind in ("euler", "unipc"):
            return (latents - answer) / levels[timestep[0].item()]
        kept = made.alphas_cumprod[timestep[0].long()].double()
        return ((kept.sqrt() * latents - answer) / (1 - kept).sqrt()).float()

    clean: list[Tensor] = []
    result = denoise(
        knows, noise(), made, num_steps=5, generator=seed(), callback=lambda state: clean.append(state.clean)
    )
    for each in (result, *clean):
        torch.testing.assert_close(each, answer, atol=1e-4, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_passes_are_made_where_the_guidance_needs_them(kind) -> None:
    calls: list[bool] = []

    def counting(latents: Tensor, timestep: Tensor, conditional: bool) -> Tensor:
        calls.append(conditional)
        return torch_predict(latents, timestep, conditional)

    seen: list[SampleStep] = []
    denoise(
        counting,
        noise(),
        scheduler(kind),
        num_steps=30,
        guidance=CosineGuidance(),
        generator=seed(),
        callback=lambda state: seen.append(state),
    )
    assert (len(calls), calls.count(False), seen[-1].num_passes) == (46, 16, 46)
    assert calls[:4] == [True, False, True, False] and calls[-14:] == [True] * 14
    assert seen[0].scale == 8.5 and seen[-1].scale == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_replaced_sample_is_all_that_the_later_steps_know(kind) -> None:
    """Two runs that differ until a callback replaces the sample by the same tensor end the same."""

    def run(number: int) -> Tensor:
        return denoise(
            torch_predict,
            noise(number),
            scheduler(kind),
            num_steps=6,
            generator=seed(),
            callback=lambda state: noise(9) if state.step == 2 else None,
        )

    torch.testing.assert_close(run(0), run(1), atol=0, rtol=0)
    assert not torch.equal(
        run(0), denoise(torch_predict, noise(), scheduler(kind), num_steps=6, generator=seed())
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_scheduler_serves_calls_within_calls(kind) -> None:
    made = scheduler(kind)

    def run() -> Tensor:
        return denoise(torch_predict, noise(), made, num_steps=4, generator=seed())

    alone = run()
    nested: list[Tensor] = []
    again = denoise(
        torch_predict,
        noise(),
        made,
        num_steps=4,
        generator=seed(),
        callback=lambda state: nested.append(run()),
    )
    assert torch.equal(again, alone)
    assert all(torch.equal(each, alone) for each in nested)


def test_what_is_held_is_held_at_every_step() -> None:
    seen: list[Tensor] = []

    def hold(latents: Tensor) -> Tensor:
        return torch.cat((torch.full_like(latents[:, :2], 0.5), latents[:, 2:]), dim=1)

    result = denoise(
        lambda latents, timestep, conditional: seen.append(latents) or torch_predict(latents, timestep, True),
        noise(),
        scheduler("unipc"),
        num_steps=4,
        hold=hold,
        callback=lambda state: seen.extend((state.latents, state.clean)),
    )
    assert len(seen) == 12
    assert all((each[:, :2] == 0.5).all() for each in (*seen, result))


def test_the_sample_stays_in_float32() -> None:
    types = []

    def coarse(latents: Tensor, timestep: Tensor, conditional: bool) -> Tensor:
        types.append(latents.dtype)
        return torch_predict(latents, timestep, conditional).bfloat16()

    result = denoise(coarse, noise().bfloat16(), scheduler("dpm"), num_steps=2, generator=seed())
    assert types == [torch.float32] * 2 and result.dtype == torch.float32


def test_noise_of_the_steps_comes_from_the_generator() -> None:
    def run(number: int) -> Tensor:
        return denoise(torch_predict, noise(), scheduler("dpm"), num_steps=3, generator=seed(number))

    state = torch.get_rng_state()
    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    assert torch.equal(state, torch.get_rng_state())


def test_what_does_not_fit_is_refused() -> None:
    from diffusers import DDPMScheduler

    with pytest.raises(ValueError, match="scheduler must predict a flow or v, got prediction_type='epsilon'"):
        denoise(torch_predict, noise(), DDPMScheduler(), num_steps=2)
    with pytest.raises(ValueError, match="num_steps must be >= 1, got 0"):
        denoise(torch_predict, noise(), scheduler("euler"), num_steps=0)
    with pytest.raises(ValueError, match=r"predict must keep the shape \(2, 7\), got \(2, 3\)"):
        denoise(lambda *_: noise()[:, :3], noise(), scheduler("euler"), num_steps=1)
    with pytest.raises(ValueError, match=r"callback must keep the shape \(2, 7\), got \(1, 7\)"):
        denoise(
            torch_predict, noise(), scheduler("euler"), num_steps=1, callback=lambda state: state.latents[:1]
        )
    with pytest.raises(TypeError, match="callback must return a tensor, got int"):
        denoise(torch_predict, noise(), scheduler("euler"), num_steps=1, callback=lambda state: 1)


def test_a_model_without_caches_needs_no_context() -> None:
    with cache_context(nn.Linear(1, 1), True):
        pass
