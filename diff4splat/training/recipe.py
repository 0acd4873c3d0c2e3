"""Training as data: what each stage trains, on what, with which losses; checked before anything runs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from diff4splat.files import atomic_path
from diff4splat.training.as_json import from_json, to_json

__all__ = ["LOSSES", "PARTS", "Recipe", "Source", "Stage"]

PARTS = ("vae", "dit", "ldrm")
"""Parts of a pipeline: video autoencoder, diffusion transformer, reconstruction model."""

LOSSES: Mapping[str, Mapping[str, str]] = {
    "vae": {
        "pixel": "smooth absolute error of decoded pixels",
        "edges": "absolute error of their differences in time and space",
        "kl": "Kullback-Leibler divergence of the posterior",
    },
    "dit": {"flow_matching": "squared error of the velocity, Diff4Splat, Eq. 2"},
    "ldrm": {
        "depth": "absolute error of log-depth on the map",
        "depth_slope": "absolute error of the slopes of log-depth on the map",
        "motion": "end-point error of displacements on the map, movers and rest balanced",
        "motion_beside": "end-point error at resting pixels next to movers",
        "rotation": "as motion, for rotations",
        "color": "absolute error of the colours of later frames on the map",
        "photometric": "squared error of rendered images, first term of Diff4Splat, Eq. 3",
        "perceptual": "LPIPS of rendered images, second term of Diff4Splat, Eq. 3",
        "pearson": "one minus the correlation of rendered depth, Diff4Splat, Sec. 3.4",
        "total_variation": "total variation of rendered depth, Diff4Splat, Sec. 3.4",
        "point_motion": "distance of world displacements and their length, Diff4Splat, Eq. 5",
    },
}
"""Losses by the part that they train, and what they measure."""

RENDERED = ("photometric", "perceptual", "pearson", "total_variation")
"""Losses that need a rendered image."""
MOVING = ("motion", "motion_beside", "rotation", "point_motion")
"""Losses that need motion to learn from."""
OF_RECORDINGS = ("only", "weights", "temperature", "draws", "max_gap", "scale", "tracks")
"""Options of a source for clips that are drawn from recordings."""
_OF_PROCEDURAL = ("clips", "static", "photographs", "still_camera")


def _check(name: str, right: bool, expected: str, value: object) -> None:
    if not right:
        raise ValueError(f"{name} must be {expected}, got {value!r}.")


def _check_choices(value: Any, *names: str) -> None:
    """Refuse texts that the annotation of a field does not list."""
    for name in names:
        allowed = get_args(next(f.type for f in fields(value) if f.name == name))
        _check(name, getattr(value, name) in allowed, f"one of {', '.join(allowed)}", getattr(value, name))


def _make_tuples(value: object, *names: str) -> None:
    """Lists become tuples, so that equal fields make equal dataclasses."""
    for name in names:
        given = getattr(value, name)
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise TypeError(f"{name} must be a tuple or list, got {given!r}.")
        object.__setattr__(value, name, tuple(given))


@dataclass(frozen=True)
class Source:
    """Clips that a stage learns from: procedural scenes, a folder of shards, or recordings.

    Args:
        share: Clips of a batch that come from here, in proportion to the shares of the other sources.
        folder: Folder of shards with the keys of `diff4splat.data.clips`, or one of recordings from which
            clips are drawn: shards of them, or datasets as their authors lay them out. Procedural scenes when
            omitted.
        clips: Procedural: how many different clips there are; they are made once and kept on disk.
        static: Procedural: leave all objects at rest.
        photographs: Procedural: paint some surfaces with photographs (extra `data`).
        still_camera: Procedural: share of clips whose camera rests.
        only: Recordings: those for "static" or "dynamic" stages, see `DATASET_SETTINGS`, or "all".
        weights: Recordings: shares of datasets by the "scenes" that there are, or those of the "paper".
        temperature: Recordings: at least 1; more makes shares more alike, see `mix`.
        draws: Recordings: clips of each scene in an epoch.
        max_gap: Recordings: largest number of frames from one frame of a clip to the next; that of
            `DATASET_SETTINGS` when omitted.
        scale: Recordings: "none" keeps units, "mean distance" divides lengths by that of what is seen.
        tracks: Recordings: number of tracks of a clip, where the stage compares motion.

    Raises:
        ValueError: If a value is out of range, or options of procedural scenes stand beside a folder, or
            those of recordings without one.
    """

    share: float = 1.0
    folder: str | None = None
    clips: int = 12_800
    static: bool = False
    photographs: bool = False
    still_camera: float = 0.3
    only: Literal["all", "static", "dynamic"] = "all"
    weights: Literal["scenes", "paper"] = "scenes"
    temperature: float = 1.0
    draws: int = 16
    max_gap: int | None = None
    scale: Literal["none", "mean distance"] = "none"
    tracks: int = 1024

    def __post_init__(self) -> None:
        _check("share", self.share > 0 and math.isfinite(self.share), "> 0", self.share)
        for name in ("clips", "draws", "tracks"):
            _check(name, getattr(self, name) >= 1, "at least 1", getattr(self, name))
        _check("still_camera", 0 <= self.still_camera <= 1, "in [0, 1]", self.still_camera)
        _check("temperature", 1 <= self.temperature < math.inf, "at least 1", self.temperature)
        _check("max_gap", self.max_gap is None or self.max_gap >= 1, "at least 1", self.max_gap)
        _check_choices(self, "only", "weights", "scale")
        for name in _OF_PROCEDURAL if self.folder is not None else OF_RECORDINGS:
            if getattr(self, name) != getattr(type(self), name):
                kind = "procedural scenes" if name in _OF_PROCEDURAL else "recordings"
                where = "without a folder" if self.folder is None else f"beside folder={self.folder!r}"
                raise ValueError(f"{name} is for {kind}, got it {where}.")

    @property
    def is_static(self) -> bool:
        """Whether nothing moves in its clips, as far as the recipe says."""
        return self.static or self.only == "static"


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Args:
        name: Letters, digits, "-" and "_"; names a folder of the run.
        train: Parts that receive gradients, of `PARTS`.
        losses: Weights by name, of `LOSSES`.
        steps: Optimiser steps.
        data: Where clips come from.
        freeze: Beginnings of parameter names that stay as they are, for instance "ldrm.deformation_head".
        frames: Pixel frames of a clip, 4k + 1.
        size: Height and width of a clip, pixels.
        crop: Side of the random crops that the autoencoder is trained on, pixels; whole images when omitted.
        batch: Clips per step, over all processes.
        accumulate: Parts in which each process takes its share of the batch, one after another.
        latents: What the reconstruction model reads: "encoded" true videos, or the estimate of them that the
            diffusion transformer makes from noisy ones ("denoised"), through which gradients reach it.
        rendered: Clips per process and part of the batch that are rendered for the losses that need it.
        shapes: Whether rendered images train size, orientation and opacity: "trained" or "kept". Those that
            suit a clip's own pixels would not suit the pixels of a larger photograph.
        target_times: Times at which motion is compared and images are rendered, per batch.
        latent_noise: Largest standard deviation of the noise that is added to encoded latents, so that the
            reconstruction model bears with generated ones.
        optimizer: "adamw", or "muon" for the matrices inside the networks and AdamW for the rest.
        learning_rate: Highest rate.
        weight_decay: Decay of matrices; vectors are not decayed.
        warmup: Steps of linear warm-up.
        schedule: Rate after warm-up: "cosine" to zero, or "trapezoid", which stays and falls at the end.
        cooldown: For "trapezoid", the share of the steps over which the rate falls, to 2 % of its height.
        clip_norm: Largest norm of the gradient.
        average: Decay of the running average of the weights, which is what is kept; 0 keeps the last weights.
        checkpoint_gradients: Compute activations anew in the backward pass, which saves memory.

    Raises:
        ValueError: If a value is out of range, or the stage cannot be: a loss whose part is not trained, one
            for motion on clips without any, one of images where none is rendered.
        TypeError: If `train`, `data` or `freeze` is no sequence, or is a text.
    """

    name: str
    train: Sequence[str]
    losses: Mapping[str, float] = field(hash=False)
    steps: int
    data: Sequence[Source] = (Source(),)
    freeze: Sequence[str] = ()
    frames: int = 9
    size: int = 128
    crop: int | None = None
    batch: int = 16
    accumulate: int = 1
    latents: Literal["encoded", "denoised"] = "encoded"
    rendered: int = 0
    shapes: Literal["trained", "kept"] = "trained"
    target_times: int = 2
    latent_noise: float = 0.2
    optimizer: Literal["adamw", "muon"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    warmup: int = 100
    schedule: Literal["cosine", "trapezoid"] = "cosine"
    cooldown: float = 0.25
    clip_norm: float = 1.0
    average: float = 0.998
    checkpoint_gradients: bool = False

    def __post_init__(self) -> None:
        _make_tuples(self, "train", "data", "freeze")
        if not self.name or not self.name.replace("-", "a").replace("_", "a").isalnum():
            raise ValueError(f'name must be of letters, digits, "-" and "_", got {self.name!r}.')
        self._check_numbers()
        self._check_parts()
        self._check_sense()

    @property
    def reconstructs(self) -> bool:
        """Whether the reconstruction model runs."""
        return any(name in LOSSES["ldrm"] for name in self.losses)

    @property
    def denoises(self) -> bool:
        """Whether the diffusion transformer runs."""
        return "flow_matching" in self.losses or self.latents == "denoised"

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that take part, of `PARTS`; the autoencoder, where there is one, gives the latents."""
        runs = {"vae": True, "dit": self.denoises, "ldrm": self.reconstructs}
        return tuple(name for name in PARTS if runs[name] or name in self.train)

    @property
    def moves(self) -> bool:
        """Whether motion is compared."""
        return any(name in MOVING for name in self.losses)

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys that every clip has to have."""
        keys = ["video", "camera_to_world", "intrinsics"]
        if any(name in self.losses for name in ("depth", "depth_slope", "pearson", *MOVING)):
            keys.append("depth")
        if self.moves:
            keys.append("motion")
        return tuple(keys)

    def _check_numbers(self) -> None:
        for name in ("steps", "batch", "accumulate", "target_times"):
            _check(name, getattr(self, name) >= 1, "at least 1", getattr(self, name))
        for name in ("warmup", "rendered", "weight_decay", "latent_noise"):
            _check(name, getattr(self, name) >= 0, "at least 0", getattr(self, name))
        for name in ("learning_rate", "clip_norm"):
            _check(name, getattr(self, name) > 0, "> 0", getattr(self, name))
        _check("frames", self.frames >= 5 and self.frames % 4 == 1, "4k + 1 with k at least 1", self.frames)
        _check("size", self.size >= 16 and self.size % 16 == 0, "a multiple of 16", self.size)
        if self.crop is not None:
            _check("crop", 16 <= self.crop <= self.size and self.crop % 8 == 0, "a multiple of 8 up to size",
                   self.crop)  # fmt: skip
        _check("cooldown", 0 <= self.cooldown <= 1, "in [0, 1]", self.cooldown)
        _check("average", 0 <= self.average < 1, "in [0, 1)", self.average)
        _check("accumulate", self.batch % self.accumulate == 0, f"a divisor of batch={self.batch}",
               self.accumulate)  # fmt: skip
        _check_choices(self, "latents", "shapes", "optimizer", "schedule")
        if not self.data:
            raise ValueError("data must name a source at least, got none.")

    def _check_parts(self) -> None:
        for part in self.train:
            _check("train", part in PARTS, f"of {', '.join(PARTS)}", part)
        if not self.train:
            raise ValueError(f"train must name a part at least ({', '.join(PARTS)}), got none.")
        for start in self.freeze:
            if start.split(".")[0] not in self.train:
                raise ValueError(f"freeze must name parameters of {', '.join(self.train)}, got {start!r}.")
        known = {name: part for part, names in LOSSES.items() for name in names}
        if not self.losses:
            raise ValueError("losses must name a loss at least, got none.")
        for name, weight in self.losses.items():
            if name not in known:
                raise ValueError(f"losses must be of {', '.join(sorted(known))}, got {name!r}.")
            _check(f"losses[{name!r}]", weight > 0 and math.isfinite(weight), "> 0", weight)
        if "vae" in self.train and (len(self.train) > 1 or self.reconstructs or self.denoises):
            raise ValueError(
                "train must hold the vae alone, because the other parts read the latents of a finished one, "
                f"got {', '.join(self.train)} with losses {', '.join(self.losses)}."
            )
        # gradients of the reconstruction model reach the diffusion transformer
        through_dit = "dit" in self.train and self.latents == "denoised"
        for part in self.train:
            through = part == "dit" and through_dit and self.reconstructs
            if not through and not any(known[name] == part for name in self.losses):
                raise ValueError(
                    f"losses must hold one that trains {part!r} ({', '.join(LOSSES[part])}), "
                    f"got {', '.join(self.losses)}."
                )
        for name in self.losses:
            part = known[name]
            if part not in self.train and not (part == "ldrm" and through_dit):
                raise ValueError(f"{name} trains {part!r}, which is not in train={', '.join(self.train)}.")

    def _check_sense(self) -> None:
        moving = [name for name in MOVING if name in self.losses]
        if moving and all(source.is_static for source in self.data):
            raise ValueError(f"{moving[0]} needs clips in which something moves, got static sources alone.")
        seen = [name for name in RENDERED if name in self.losses]
        if seen and not self.rendered:
            raise ValueError(f"{seen[0]} needs rendered images, got rendered=0.")
        if self.rendered and not seen:
            raise ValueError(f"rendered={self.rendered} is for {', '.join(RENDERED)}, got none of them.")
        if self.latents == "denoised" and not self.reconstructs:
            raise ValueError('latents="denoised" is for losses of the reconstruction model, got none.')
        if self.crop is not None and self.train != ("vae",):
            raise ValueError(f"crop is for the autoencoder, got train={', '.join(self.train)}.")


@dataclass(frozen=True)
class Recipe:
    """Stages in order, and what they share.

    Args:
        name: Name of the model that comes out.
        stages: What is done, one after another; each starts from the averaged weights of those before.
        seed: Of every draw: weights, order of clips, noise.
        precision: "bf16" for matrix products in bfloat16, "fp16" (GPU), or "no".
        initial: Pipeline to start from, a folder or Hub id or bundled name; fresh weights when omitted.
        ldrm: Options of `LDRM` that differ from its compact form, for a fresh one.

    Raises:
        ValueError: If there is no stage, two have one name, a value is out of range, or `ldrm` stands beside
            `initial`, whose reconstruction model is not a fresh one.
        TypeError: If `stages` is no sequence.
    """

    name: str
    stages: Sequence[Stage]
    seed: int = 0
    precision: Literal["bf16", "fp16", "no"] = "bf16"
    initial: str | None = None
    ldrm: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _make_tuples(self, "stages")
        names = [stage.name for stage in self.stages]
        if not names:
            raise ValueError("stages must hold one at least, got none.")
        for name in names:
            _check("stages", names.count(name) == 1, "named differently", name)
        _check("precision", self.precision in ("bf16", "fp16", "no"), "one of bf16, fp16, no", self.precision)
        _check("seed", 0 <= self.seed < 2**32, "in [0, 2^32)", self.seed)
        if self.initial is not None:
            _check("ldrm", not self.ldrm, f"empty beside initial={self.initial!r}", dict(self.ldrm))

    @classmethod
    def load(cls, path: str | Path) -> "Recipe":
        """Read a recipe from a JSON file.

        Args:
            path: The file.

        Returns:
            The recipe.

        Raises:
            ValueError: If the file is no JSON, a key is unknown or missing, or a stage cannot be.
            TypeError: If a value is of another type than it should be.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path} must be JSON, got {error}.") from None
        return from_json(cls, values, f"{path}: recipe")

    def save(self, path: str | Path) -> None:
        """Write a recipe to a JSON file.

        Args:
            path: The file.
        """
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(json.dumps(to_json(self), indent=2) + "\n", encoding="utf-8")

    def scaled(self, steps: float) -> "Recipe":
        """The same with other numbers of steps, for a try.

        Args:
            steps: Factor on steps and warm-up; a stage keeps one step at least.

        Returns:
            Another recipe.

        Raises:
            ValueError: If the factor is not positive.
        """
        _check("steps", steps > 0 and math.isfinite(steps), "> 0", steps)
        stages = tuple(
            replace(s, steps=max(1, round(s.steps * steps)), warmup=round(s.warmup * steps))
            for s in self.stages
        )
        return replace(self, stages=stages)
