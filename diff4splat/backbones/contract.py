"""What a video backbone promises, as checks that anyone can run on theirs."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diff4splat.backbones.backbone import LatentSpec, VideoBackbone
from diff4splat.cameras import Cameras, trajectory
from diff4splat.diffusion import SampleStep

__all__ = ["BackboneContractError", "check_backbone"]


class BackboneContractError(ValueError):
    """A backbone breaks rules of `VideoBackbone`.

    Args:
        broken: What went wrong, by the name of the rule.
    """

    def __init__(self, broken: dict[str, str]) -> None:
        self.broken = broken
        lines = "".join(f"\n- {rule}: {reason}" for rule, reason in broken.items())
        super().__init__(f"the backbone breaks {len(broken)} rule{'s' * (len(broken) > 1)}:{lines}")


def check_backbone(
    backbone: Any,
    *,
    num_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    num_steps: int = 2,
    load: Callable[[Path], VideoBackbone] | None = None,
    adapted: VideoBackbone | None = None,
) -> None:
    """Run a backbone through everything that the pipeline relies on.

    The rules, by the names that the error uses:

    - spec: `spec` is a `LatentSpec`, and the four members of `VideoBackbone` are there.
    - latents: of the shape that `spec` says, float32, finite, without a gradient.
    - batch: two images at a time give the latents of two clips.
    - frame rule, size rule: what `spec` does not allow is refused by a ValueError that names a valid number.
    - batch axes, prompts: cameras or prompts of another number than images are refused by a ValueError.
    - seed: the same seed gives the same latents, another seed others.
    - global randomness: with a generator the global one is left as it was.
    - inputs: images and cameras are left as they were.
    - callback: called after each step with the steps in order; a tensor that it returns is the sample.
    - encode: of the shape that `spec` says, float32, finite, the same each time; other clips are refused.
    - decode: of the shape of the clip, float32, finite, in [0, 1].
    - save and load: what is loaded generates the same, to four digits. Only with `load`, or where there are
      `save_pretrained` and `from_pretrained`.
    - camera adapter: a new one changes nothing. Only with `adapted`.

    Args:
        backbone: A `VideoBackbone` in float32, small enough to be run about ten times.
        num_frames: Frames of the clips; the fewest that `spec` allows beyond one when omitted.
        height: Their height, pixels; two times the smallest that `spec` allows when omitted.
        width: Their width, pixels; three times the smallest that `spec` allows when omitted.
        num_steps: Sampling steps, at least 2.
        load: Loads the folder that `save_pretrained` wrote; `from_pretrained` of the class when omitted.
        adapted: The backbone with a new camera adapter.

    Raises:
        BackboneContractError: If rules are broken; lists all of them.
        ValueError: If `num_steps` < 2.

    Examples:
        >>> from diff4splat.backbones import get_backbone
        >>> check_backbone(get_backbone("compact"))  # doctest: +SKIP
    """
    if num_steps < 2:
        raise ValueError(f"num_steps must be >= 2, got {num_steps}.")
    members = ("encode", "decode", "generate")
    missing = [name for name in members if not callable(getattr(backbone, name, None))]
    spec = getattr(backbone, "spec", None)
    if missing or not isinstance(spec, LatentSpec):
        reason = f"no {', '.join(missing)}" if missing else f"spec is a {type(spec).__name__}"
        raise BackboneContractError({"spec": f"{reason}, expected a LatentSpec and {', '.join(members)}"})
    clip = _Clip(
        backbone,
        num_frames or spec.frame_step + 1,
        height or 2 * spec.pixel_multiple,
        width or 3 * spec.pixel_multiple,
        num_steps,
    )
    rules: dict[str, Callable[[], None]] = {
        "latents": clip.latents,
        "batch": clip.batch,
        "frame rule": clip.frame_rule,
        "size rule": clip.size_rule,
        "batch axes": clip.batch_axes,
        "prompts": clip.prompts,
        "seed": clip.seed,
        "global randomness": clip.global_randomness,
        "inputs": clip.inputs,
        "callback": clip.callback,
        "encode": clip.encode,
        "decode": clip.decode,
    }
    if load is not None or (hasattr(backbone, "save_pretrained") and hasattr(backbone, "from_pretrained")):
        rules["save and load"] = lambda: clip.save_and_load(load)
    if adapted is not None:
        rules["camera adapter"] = lambda: clip.camera_adapter(adapted)
    broken = {}
    for name, rule in rules.items():
        try:
            rule()
        except Exception as error:  # a rule is broken by whatever keeps it from being kept
            reason = " ".join(str(error).split())
            broken[name] = reason if type(error) is _Broken else f"{type(error).__name__}: {reason}"
    if broken:
        raise BackboneContractError(broken)


class _Broken(Exception):
    """A rule is broken."""


class _Clip:
    """A backbone with a clip to try it on; each method checks one rule."""

    def __init__(
        self, backbone: VideoBackbone, num_frames: int, height: int, width: int, num_steps: int
    ) -> None:
        self.backbone = backbone
        self.size = (num_frames, height, width)
        self.num_steps = num_steps
        self.shape = backbone.spec.latent_shape(*self.size)

    def image(self, batch: int = 1, *, taller: int = 0) -> Tensor:
        _, height, width = self.size
        return torch.rand(batch, 3, height + taller, width, generator=_seeded(1))

    def cameras(self, batch: int = 1, *, more: int = 0, taller: int = 0) -> Cameras:
        frames, height, width = self.size
        path = trajectory.by_name("orbit", frames + more, height=height + taller, width=width).batch(None)
        poses, lenses = (values.repeat(batch, 1, 1, 1) for values in (path.camera_to_world, path.intrinsics))
        return replace(path, camera_to_world=poses, intrinsics=lenses)

    def video(self) -> Tensor:
        frames, height, width = self.size
        return torch.rand(1, frames, 3, height, width, generator=_seeded(2))

    def run(
        self,
        image: Tensor | None = None,
        cameras: Cameras | None = None,
        prompt: list[str] | None = None,
        *,
        seed: int = 0,
        backbone: VideoBackbone | None = None,
        callback: Callable[[SampleStep], Tensor | None] | None = None,
    ) -> Tensor:
        return (backbone or self.backbone).generate(
            self.image() if image is None else image,
            self.cameras() if cameras is None else cameras,
            prompt,
            num_steps=self.num_steps,
            generator=_seeded(seed),
            callback=callback,
        )

    def latents(self) -> None:
        _check_values(self.run(prompt=["a cup"]), (1, *self.shape))

    def batch(self) -> None:
        latents = self.run(self.image(2), self.cameras(2), ["a cup", "a dog"])
        _check_values(latents, (2, *self.shape))

    def frame_rule(self) -> None:
        if self.backbone.spec.frame_step == 1:
            return
        above = self.size[0] + self.backbone.spec.frame_step
        _refused(lambda: self.run(cameras=self.cameras(more=1)), [self.size[0], above])

    def size_rule(self) -> None:
        if self.backbone.spec.pixel_multiple == 1:
            return
        above = self.size[1] + self.backbone.spec.pixel_multiple
        run = lambda: self.run(self.image(taller=1), self.cameras(taller=1))  # noqa: E731
        _refused(run, [self.size[1], above])

    def batch_axes(self) -> None:
        _refused(lambda: self.run(self.image(2), self.cameras(3)))

    def prompts(self) -> None:
        _refused(lambda: self.run(self.image(2), self.cameras(2), ["one", "two", "three"]))

    def seed(self) -> None:
        first, again, other = self.run(), self.run(), self.run(seed=1)
        if not torch.equal(first, again):
            raise _Broken("the same seed gave other latents")
        if torch.equal(first, other):
            raise _Broken("another seed gave the same latents")

    def global_randomness(self) -> None:
        before = torch.get_rng_state()
        self.run()
        changed = not torch.equal(before, torch.get_rng_state())
        torch.set_rng_state(before)
        if changed:
            raise _Broken("generate drew from the global generator although it was given one")

    def inputs(self) -> None:
        image, cameras = self.image(), self.cameras()
        poses, lenses = cameras.camera_to_world.clone(), cameras.intrinsics.clone()
        self.run(image, cameras)
        if not torch.equal(image, self.image()):
            raise _Broken("generate changed the image it was given")
        if not (torch.equal(poses, cameras.camera_to_world) and torch.equal(lenses, cameras.intrinsics)):
            raise _Broken("generate changed the cameras it was given")

    def callback(self) -> None:
        steps: list[SampleStep] = []

        def watch(state: SampleStep) -> Tensor | None:
            steps.append(state)
            return None if state.step + 1 < state.num_steps else torch.full_like(state.latents, 0.25)

        latents = self.run(callback=watch)
        seen = [state.step for state in steps]
        if not seen or seen != list(range(steps[0].num_steps)):
            raise _Broken(f"expected a call after each step, in order, got calls for steps {seen}")
        if not torch.equal(latents, torch.full_like(latents, 0.25)):
            raise _Broken("the tensor that the callback returned last is not the result")

    def encode(self) -> None:
        video = self.video()
        latents = self.backbone.encode(video)
        _check_values(latents.detach(), (1, *self.shape))
        if not torch.equal(latents, self.backbone.encode(video)):
            raise _Broken("the same clip has other latents the second time")
        if self.backbone.spec.frame_step > 1:
            _refused(lambda: self.backbone.encode(torch.cat((video, video[:, :1]), dim=1)))

    def decode(self) -> None:
        video = self.backbone.decode(self.backbone.encode(self.video())).detach()
        _check_values(video, tuple(self.video().shape))
        if not 0 <= float(video.min()) <= float(video.max()) <= 1:
            raise _Broken(f"expected values in [0, 1], got {float(video.min())} to {float(video.max())}")

    def save_and_load(self, load: Callable[[Path], VideoBackbone] | None) -> None:
        load = load or type(self.backbone).from_pretrained  # type: ignore[attr-defined]
        with tempfile.TemporaryDirectory() as folder:
            self.backbone.save_pretrained(folder)  # type: ignore[attr-defined]
            if not os.listdir(folder):
                raise _Broken("save_pretrained wrote nothing")
            loaded = load(Path(folder))
        if loaded.spec != self.backbone.spec:
            raise _Broken(f"what is loaded has the spec {loaded.spec}, saved was {self.backbone.spec}")
        expected, got = self.run().detach(), self.run(backbone=loaded).detach()
        # Weights lie elsewhere in memory now, and sums of float32 may be taken in another order.
        if not torch.allclose(got, expected, rtol=0, atol=1e-4 * float(expected.abs().max())):
            raise _Broken("what is loaded generates something else")

    def camera_adapter(self, adapted: VideoBackbone) -> None:
        if not torch.equal(self.run(backbone=adapted), self.run()):
            raise _Broken("with a new camera adapter the backbone generates something else")


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _check_values(values: object, shape: tuple[int, ...]) -> None:
    if not isinstance(values, Tensor):
        raise _Broken(f"expected a tensor, got {type(values).__name__}")
    if values.shape != shape:
        raise _Broken(f"expected shape {shape}, got {tuple(values.shape)}")
    if values.dtype != torch.float32:
        raise _Broken(f"expected float32, got {values.dtype}")
    if not bool(values.isfinite().all()):
        raise _Broken("expected finite values, got NaN or infinity")
    if values.requires_grad:
        raise _Broken("the result carries a gradient, so all steps stay in memory")


def _refused(function: Callable[[], object], numbers: list[int] | None = None) -> None:
    """Broken unless a ValueError is raised, and names one of `numbers` if there are some."""
    try:
        function()
    except ValueError as error:
        if numbers and not any(str(number) in str(error) for number in numbers):
            raise _Broken(
                f"refused without naming a number that is allowed, such as {numbers[0]}: {error}"
            ) from error
    else:
        raise _Broken("not refused")
