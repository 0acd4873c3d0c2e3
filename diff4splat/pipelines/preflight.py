"""What a run needs in memory, time and download, before anything is loaded."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch

from diff4splat.diffusion import Guidance
from diff4splat.pipelines.costs import (
    AutoencoderCost,
    denoiser_activations,
    denoiser_flops,
    movies_activations,
    movies_flops,
    num_tokens,
    text_encoder_activations,
    tiny_decoder_values,
)
from diff4splat.pipelines.machine import available_memory, matrix_rate
from diff4splat.pipelines.run_plan import RunPlan, plan_run

__all__ = ["EFFICIENCY", "Remedy", "RunEstimate", "StageEstimate", "preflight"]

_RUNTIME = 600_000_000  # bytes that the libraries and kernels keep for themselves, about
_MARGIN = 1.03  # what allocators lose between tensors
_MOVIES_VIEWS, _MOVIES_SIDE = 13, 224

EFFICIENCY = {"cuda": {"denoise": 0.65, "autoencoder": 0.35}, "cpu": {"denoise": 0.7, "autoencoder": 0.7}}
"""Share of the rate of large matrix products that a stage reaches, about, by kind of device."""


@dataclass(frozen=True)
class StageEstimate:
    """One stage of a run.

    Args:
        name: Such as "denoise".
        parts: Parts of the model whose weights it reads.
        activations: Bytes that it holds beside the weights.
        flops: Operations.
        seconds: Time, about; None where the rate of the device is unknown.
    """

    name: str
    parts: tuple[str, ...]
    activations: float | int
    flops: float | int
    seconds: float | None = None


@dataclass(frozen=True)
class Remedy:
    """Options with which a run fits.

    Args:
        options: Arguments of `preflight`, changed ones only.
        memory: Bytes that it then needs on the device.
    """

    options: Mapping[str, Any]
    memory: int


@dataclass(frozen=True)
class RunEstimate:
    """What a run needs.

    Args:
        model: As it was asked for.
        clip: Frames, height and width of the generated clip.
        num_steps: Sampling steps.
        num_passes: Passes of the transformer in all, those of guidance included.
        device: Where it runs.
        weights: Bytes of the weights by part, as they rest on the device.
        stages: In order.
        memory: Bytes at the worst moment on the device.
        host_memory: Bytes of main memory that are needed beside a GPU; 0 on the CPU.
        available: Bytes that are free on the device; None where there is no way to know.
        host_available: Bytes that are free in main memory.
        download: Bytes that are not in the Hub cache yet, about.
        unknown: Parts that nothing is known about, which are not counted.
        remedies: Options with which it fits, the gentlest first; empty if it fits or nothing helps.
    """

    model: str
    clip: tuple[int, int, int]
    num_steps: int
    num_passes: int
    device: str
    weights: Mapping[str, int]
    stages: tuple[StageEstimate, ...]
    memory: int
    host_memory: int
    available: int | None
    host_available: int | None
    download: int
    unknown: tuple[str, ...] = ()
    remedies: tuple[Remedy, ...] = field(default=())

    @property
    def fits(self) -> bool | None:
        """Whether there is memory enough; None where that cannot be known."""
        if self.available is None:
            return None
        host = self.host_available is None or self.host_memory <= self.host_available
        return self.memory <= self.available and host

    @property
    def seconds(self) -> float | None:
        """Time of all stages, about; loading not included."""
        times = [stage.seconds for stage in self.stages]
        return None if None in times else sum(time for time in times if time is not None)


def preflight(
    model: str | os.PathLike[str],
    *,
    num_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    num_steps: int | None = None,
    guidance: Guidance | float | int | None = None,
    given_frames: int | None = None,
    output: tuple[int, int, int] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.bfloat16,
    offload: Literal["model", "group"] | None = None,
    storage: Literal["float8"] | None = None,
    tiny_vae: bool = False,
    rate: float | int | None = None,
) -> RunEstimate:
    """What a run needs in memory, time and download; nothing is loaded, and no network touched.

    Args:
        model: A bundled pipeline, a folder, or a Hub id, as for `Diff4SplatPipeline.from_pretrained`; or a
            video model of `KNOWN_MODELS`, by name or repository.
        num_frames: Frames of the generated clip; those of the pipeline when omitted.
        height: Height of the clip, pixels; that of the pipeline when omitted.
        width: Width of the clip, pixels; that of the pipeline when omitted.
        num_steps: Sampling steps; those of the pipeline when omitted.
        guidance: Guidance, or its constant scale; decides how many passes a step has. That of the pipeline
            when omitted, and two passes each where it has none of its own.
        given_frames: Frames of a video to reconstruct; nothing is generated then, and the clip has no more
            frames than it. A video is to be generated when omitted.
        output: Frames, height and width of the videos that are rendered from the scene; those of the clip
            when omitted.
        device: Where it will run.
        dtype: Floating-point type of the large weights.
        offload: Keep weights in main memory: "model", one part is on the device at a time; "group", one
            block.
        storage: "float8" keeps the transformer in 8 bits.
        tiny_vae: Decode with a tiny autoencoder.
        rate: Operations per second in matrix products; measured on the device when omitted.

    Returns:
        The estimate; of memory within a fifth, of time within a factor of two or so.

    Raises:
        FileNotFoundError: If there is no such model.
        ValueError: If nothing is known about the model before it is downloaded, or a size is not positive.
    """
    plan = plan_run(model)
    clip = tuple(
        own if given is None else given
        for own, given in zip(plan.clip, (num_frames, height, width), strict=True)
    )
    counts = {"num_frames": clip[0], "height": clip[1], "width": clip[2], "num_steps": num_steps}
    for name, size in {**counts, "given_frames": given_frames}.items():
        if size is not None and size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}.")
    device = torch.device(device)
    steps = plan.num_steps if num_steps is None else num_steps
    if given_frames is not None:
        clip, steps = (min(clip[0], given_frames), *clip[1:]), 0
    rate = matrix_rate(device, dtype) if rate is None else float(rate)
    run = _Run(
        plan,
        clip,
        output or clip,
        steps,
        plan.count_passes(guidance, steps) if steps else 0,
        device,
        dtype,
        rate,
        offload=offload,
        storage=storage,
        tiny_vae=tiny_vae,
    )
    estimate = run.estimate(os.fspath(model))
    return estimate if estimate.fits is not False else replace(estimate, remedies=run.remedies(estimate))


@dataclass(frozen=True)
class _Run:
    """A plan at given sizes and options."""

    plan: RunPlan
    clip: tuple[int, ...]
    output: tuple[int, ...]
    steps: int
    passes: int
    device: torch.device
    dtype: torch.dtype
    rate: float | int
    offload: str | None = None
    storage: str | None = None
    tiny_vae: bool = False

    @property
    def generates(self) -> bool:
        """Whether there is a video to generate; otherwise one is given."""
        return self.steps > 0

    def estimate(self, name: str) -> RunEstimate:
        """The estimate, without remedies."""
        weights, stages = self._weights(), self._stages()
        gpu = self.device.type == "cuda"
        total = sum(weights.values())
        moments = [self._resident(stage, weights, total) + stage.activations for stage in stages]
        worst = max(moments, default=total)
        host = total + _RUNTIME if gpu else 0
        return RunEstimate(
            name,
            (self.clip[0], self.clip[1], self.clip[2]),
            self.steps,
            self.passes,
            str(self.device),
            weights,
            tuple(self._timed(stage) for stage in stages),
            memory=int(_MARGIN * worst) + _RUNTIME,
            host_memory=host,
            available=available_memory(self.device),
            host_available=available_memory("cpu") if gpu else None,
            download=self.plan.download,
            unknown=self.plan.unknown,
        )

    def remedies(self, estimate: RunEstimate) -> tuple[Remedy, ...]:
        """Up to three sets of options with which it fits, those first that change least."""
        found: list[Remedy] = []
        frames, height, width = self.clip
        smaller: list[dict[str, Any]] = [
            {"height": _multiple(height * share), "width": _multiple(width * share)} for share in (0.75, 0.5)
        ]
        fewer: list[dict[str, Any]] = (
            [{"num_frames": max((frames // 2 - 1) // 8 * 8 + 1, 9)}] if frames > 9 else []
        )
        gpu = self.device.type == "cuda"
        offloads: list[dict[str, Any]] = [{"offload": "model"}, {"offload": "group"}] if gpu else []
        tiny: list[dict[str, Any]] = [{"tiny_vae": True}] if self.plan.decodes and self.generates else []
        stored: list[dict[str, Any]] = [{"storage": "float8"}]
        pairs = [{**a, **b} for a in (*offloads, *stored) for b in (*tiny, *stored) if a.keys() != b.keys()]
        tried = [*tiny, *offloads, *stored, *pairs, *smaller, *fewer]
        tried += [{**a, **b} for a in (*offloads, *stored, *pairs) for b in (*smaller, *fewer)]
        for options in tried:
            new = self._with(options).estimate(estimate.model)
            covered = any(remedy.options.items() <= options.items() for remedy in found)
            if new.fits and not covered:
                found.append(Remedy(options, new.memory))
        return tuple(found[:3])

    def _with(self, options: Mapping[str, Any]) -> "_Run":
        frames, height, width = self.clip
        clip = (options.get("num_frames", frames), options.get("height", height), options.get("width", width))
        changed = {key: options[key] for key in ("offload", "storage", "tiny_vae") if key in options}
        return replace(self, clip=clip, output=self.output if self.output != self.clip else clip, **changed)

    def _weights(self) -> dict[str, int]:
        weights = {
            part: count * self.plan.element(part, self.dtype) for part, count in self.plan.parameters.items()
        }
        if self.storage == "float8" and "transformer" in weights:
            weights["transformer"] = int(1.03 * self.plan.parameters["transformer"])
        return weights

    def _resident(self, stage: StageEstimate, weights: Mapping[str, int], total: int) -> float | int:
        """Bytes of weights that lie on the device during a stage."""
        if self.offload is None or self.device.type == "cpu":
            return total
        used = {part: weights.get(part, 0) for part in stage.parts}
        if self.offload == "model":
            return sum(used.values())
        layers = self.plan.sizes.get("num_layers", 24)
        return sum(2 * size / layers if part == "transformer" else 0.2 * size for part, size in used.items())

    def _stages(self) -> list[StageEstimate]:
        stages = self._generation() if self.generates else []
        if not self.generates and not self.plan.decodes:
            stages += self._encoding("encode the video", self.clip[0], ("vae",))
        scene = self._reconstruction()
        return [*stages, *scene, self._rendering()] if scene else stages

    def _generation(self) -> list[StageEstimate]:
        frames, height, width = self.clip
        plan, parameters = self.plan, self.plan.parameters
        stages = []
        if "text_encoder" in parameters:
            tokens = plan.sizes.get("text_tokens", 512)
            held = text_encoder_activations(tokens, plan.element("text_encoder", self.dtype))
            flops = 2 * 2 * tokens * parameters["text_encoder"]
            stages.append(StageEstimate("read the prompt", ("text_encoder",), held, flops))
        if plan.autoencoder is None:
            return stages
        readers = ("vae", "image_encoder") if "image_encoder" in parameters else ("vae",)
        stages += self._encoding("encode the image", frames if plan.sizes.get("encodes_clip") else 1, readers)
        tokens = num_tokens(plan.sizes, plan.autoencoder, frames, height, width)
        held = denoiser_activations(plan.sizes, tokens, plan.element("transformer", self.dtype))
        flops = self.passes * denoiser_flops(plan.sizes, tokens)
        stages.append(StageEstimate("denoise", ("transformer",), held, flops))
        if plan.decodes:
            stages.append(self._decoding(plan.autoencoder))
        return stages

    def _encoding(self, name: str, frames: int, parts: tuple[str, ...]) -> list[StageEstimate]:
        autoencoder, scale = self.plan.autoencoder, self.plan.scales[0]
        if autoencoder is None:
            return []
        _, height, width = self.clip
        on_cpu = self.device.type == "cpu"
        held = autoencoder.held("encode", frames, height, width, scale=scale, on_cpu=on_cpu)
        flops = autoencoder.flops("encode", frames, height, width, scale=scale)
        return [StageEstimate(name, parts, self.plan.element("vae", self.dtype) * held, flops)]

    def _decoding(self, autoencoder: AutoencoderCost) -> StageEstimate:
        frames, height, width = self.clip
        scale, on_cpu = self.plan.scales[1], self.device.type == "cpu"
        if self.tiny_vae:
            held = tiny_decoder_values(self.plan.sizes["latent_channels"], frames, height, width)
            flops = 0.4e6 * frames * height * width
        else:
            held = autoencoder.held("decode", frames, height, width, scale=scale, on_cpu=on_cpu)
            flops = autoencoder.flops("decode", frames, height, width, scale=scale)
        element = self.plan.element("vae", self.dtype)
        return StageEstimate("decode the video", ("vae",), element * held, flops)

    def _reconstruction(self) -> list[StageEstimate]:
        frames, height, width = self.clip
        if self.plan.reconstructor == "movies":
            scale = min(_MOVIES_SIDE / max(height, width), 1)
            rows, columns = (max(int(side * scale) // 14, 1) * 14 for side in (height, width))
            views = min(_MOVIES_VIEWS, frames)
            held = movies_activations(views, rows, columns, frames) + 4 * 3 * frames * height * width
            flops = movies_flops(views, rows, columns, frames)
            return [StageEstimate("reconstruct", ("reconstructor",), held, flops)]
        if self.plan.ldrm is None:
            return []
        held, flops = self.plan.ldrm_cost(frames, height, width)
        return [StageEstimate("reconstruct", ("ldrm",), held, flops)]

    def _rendering(self) -> StageEstimate:
        frames, height, width = self.output
        gaussians = self.plan.num_gaussians or frames * height * width
        field = gaussians * (14 + 10 * self.clip[0]) * 4
        return StageEstimate("render", (), field + 2 * 5 * 4 * frames * height * width, 0.0)

    def _timed(self, stage: StageEstimate) -> StageEstimate:
        shares = EFFICIENCY.get(self.device.type, EFFICIENCY["cuda"])
        share = shares["autoencoder" if stage.parts[:1] == ("vae",) else "denoise"]
        return replace(stage, seconds=stage.flops / (share * self.rate))


def _multiple(size: float) -> int:
    """Pixels that every known model takes: a multiple of 32."""
    return max(int(size) // 32 * 32, 32)
