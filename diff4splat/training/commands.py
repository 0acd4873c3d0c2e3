"""The stages of training as commands: clips, vae, latents, ldrm, dit, bundle."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor
from tqdm import tqdm
from tyro.conf import subcommand

from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.data import ShardClips, make_clips, read_shard, shard_is_there, write_shard
from diff4splat.hub import weights_hash
from diff4splat.models import LDRM
from diff4splat.pipelines import Diff4SplatPipeline
from diff4splat.training.batches import Batches
from diff4splat.training.loop import LoopConfig, run_loop
from diff4splat.training.model_card import read_run, write_model_card
from diff4splat.training.objectives import autoencoder_losses, diffusion_losses, reconstruction_losses

__all__ = ["Bundle", "Clips", "Dit", "Latents", "Ldrm", "Stage", "Vae", "main"]

_CLIP_NAMES = ("depth", "object_index", "object_motion", "camera_to_world", "intrinsics", "latents", "video")


@dataclass(frozen=True)
class Clips:
    """Render procedural scenes into shards; run several with different starts to use several cores."""

    output: Path = Path("cache/clips")
    """Folder of the shards."""
    start: int = 0
    """First shard; a shard's seeds follow from its number, finished shards are skipped."""
    shards: int = 100
    """How many shards to write."""
    clips: int = 32
    """Clips per shard."""
    batch: int = 8
    """Clips rendered at once."""
    still_camera: float = 0.3
    """Share of clips whose camera rests."""
    photographs: bool = False
    """Paint some surfaces with photographs (extra `data`)."""
    static: bool = False
    """Leave all objects at rest."""
    frames: int = 9
    """Frames of a clip, 4k + 1."""
    size: int = 128
    """Height and width of a clip, pixels; a multiple of 16."""

    def run(self) -> None:
        """Write the shards that are missing."""
        for name in ("shards", "clips", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"--{name} must be at least 1, got {getattr(self, name)}.")
        if self.clips % self.batch:
            raise ValueError(f"--clips must be a multiple of --batch={self.batch}, got {self.clips}.")
        if self.frames < 5 or self.frames % 4 != 1:
            raise ValueError(f"--frames must be 4k + 1 with k at least 1, got {self.frames}.")
        if self.size < 16 or self.size % 16:
            raise ValueError(f"--size must be a multiple of 16, got {self.size}.")
        options = ("clips", "frames", "size", "still_camera", "photographs", "static")
        origin = {name: getattr(self, name) for name in options}
        for number in tqdm(range(self.start, self.start + self.shards), desc="clips", unit="shard"):
            path = self.output / f"{number:06d}.safetensors"
            if shard_is_there(path, origin):
                continue
            parts = [
                make_clips(
                    [number * self.clips + first + i for i in range(self.batch)],
                    num_frames=self.frames,
                    height=self.size,
                    width=self.size,
                    still_camera=self.still_camera,
                    photographs=self.photographs,
                    static=self.static,
                )
                for first in range(0, self.clips, self.batch)
            ]
            merged = {name: torch.cat([clips[name] for clips, _ in parts]) for name in parts[0][0]}
            write_shard(
                path, merged, [caption for _, captions in parts for caption in captions], origin=origin
            )


@dataclass(frozen=True)
class Vae:
    """Train the video autoencoder, then measure the latent statistics that it normalises by."""

    clips: Path = Path("cache/clips")
    """Folder of shards."""
    output: Path = Path("runs/vae")
    """Folder of the run; an existing one is continued."""
    batch: int = 8
    """Clips per step."""
    crop: int = 64
    """Side of the random crops, pixels."""
    loop: Annotated[LoopConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: LoopConfig(steps=4000, learning_rate=1e-3)
    )

    def run(self) -> None:
        """Train and normalise."""
        torch.manual_seed(self.loop.seed)
        vae = CausalVideoVAE()
        shards = _Batches(self.clips, self.batch, ("video",), self.loop.seed)
        run_loop(
            vae,
            shards,
            lambda batch, generator: autoencoder_losses(vae, batch[0], generator, crop=self.crop),
            self.output,
            self.loop,
            name="vae",
        )
        with torch.no_grad():
            means = torch.cat(
                [
                    vae.posterior(clips["video"].float() / 255)[0]
                    for clips, _ in islice(shards(self.loop.steps), 32)
                ]
            )
        vae.set_normalization(means.mean(dim=(0, 1, 3, 4)), means.std(dim=(0, 1, 3, 4)))
        vae.save_pretrained(self.output / "final")


@dataclass(frozen=True)
class Latents:
    """Encode all shards with a trained autoencoder; adds `latents` to each shard's file."""

    clips: Path = Path("cache/clips")
    """Folder of shards."""
    vae: Path = Path("runs/vae/final")
    """Trained autoencoder."""
    output: Path = Path("cache/latents")
    """Folder of the encoded shards."""
    shards: int | None = None
    """Encode the first so many shards; all that exist when omitted."""

    def run(self) -> None:
        """Encode the shards that are not encoded yet."""
        vae = CausalVideoVAE.from_pretrained(self.vae).eval()
        origin = {"vae": weights_hash(self.vae)}
        for path in tqdm(
            sorted(self.clips.glob("[!.]*.safetensors"))[: self.shards], desc="latents", unit="shard"
        ):
            target = self.output / path.name
            if shard_is_there(target, origin):
                continue
            clips, captions = read_shard(path)
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                parts = [vae.encode(video.float() / 255) for video in clips["video"].split(8)]
            latents = torch.cat(parts).half()
            write_shard(target, {**clips, "latents": latents}, captions, origin=origin)


@dataclass(frozen=True)
class Ldrm:
    """Train the reconstruction model on encoded clips."""

    clips: Path = Path("cache/latents")
    """Folder of encoded shards."""
    output: Path = Path("runs/ldrm")
    """Folder of the run; an existing one is continued."""
    initial: Path | None = None
    """Trained model to start from; fresh weights when omitted."""
    batch: int = 16
    """Clips per step."""
    rendered: int = 0
    """Clips per step that are rendered and compared with the video, which doubles the time of a step."""
    loop: Annotated[LoopConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: LoopConfig(steps=6000, learning_rate=1e-3)
    )

    def run(self) -> None:
        """Train."""
        torch.manual_seed(self.loop.seed)
        ldrm = LDRM.compact() if self.initial is None else LDRM.from_pretrained(self.initial)
        run_loop(
            ldrm,
            _Batches(self.clips, self.batch, _CLIP_NAMES, self.loop.seed),
            lambda batch, generator: reconstruction_losses(
                ldrm, batch[0], generator, num_rendered=self.rendered
            ),
            self.output,
            self.loop,
            name="ldrm",
        )


@dataclass(frozen=True)
class Dit:
    """Train the diffusion transformer on encoded clips."""

    clips: Path = Path("cache/latents")
    """Folder of encoded shards."""
    output: Path = Path("runs/dit")
    """Folder of the run; an existing one is continued."""
    initial: Path | None = None
    """Trained model to start from; fresh weights when omitted."""
    batch: int = 16
    """Clips per step."""
    loop: Annotated[LoopConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: LoopConfig(steps=6000, learning_rate=1e-3)
    )

    def run(self) -> None:
        """Train."""
        torch.manual_seed(self.loop.seed)
        dit = CompactDiT() if self.initial is None else CompactDiT.from_pretrained(self.initial)
        names = ("video", "latents", "camera_to_world", "intrinsics")
        run_loop(
            dit,
            _Batches(self.clips, self.batch, names, self.loop.seed),
            lambda batch, generator: diffusion_losses(dit, batch[0], batch[1], generator),
            self.output,
            self.loop,
            name="dit",
        )


@dataclass(frozen=True)
class Bundle:
    """Put trained parts together as a folder that the pipeline loads, with a model card."""

    vae: Path = Path("runs/vae/final")
    """Trained autoencoder, in the folder of its run."""
    dit: Path = Path("runs/dit/averaged")
    """Trained diffusion transformer, in the folder of its run."""
    ldrm: Path = Path("runs/ldrm/averaged")
    """Trained reconstruction model, in the folder of its run."""
    output: Path = Path("diff4splat/weights/compact")
    """Folder of the bundle; files of the same names are replaced."""
    frames: int = 9
    """Frames of a generated clip."""
    size: int = 128
    """Height and width of a generated clip, pixels."""
    steps: int = 30
    """Sampling steps of the video model."""
    num_gaussians: int = 100_000
    """Gaussian budget of the pipeline."""
    earlier: tuple[Path, ...] = ()
    """For the model card: folders of the runs that others started from (`--initial`)."""
    commands: tuple[str, ...] = ()
    """For the model card: the command lines of the training, in order."""
    hardware: str = "not recorded"
    """For the model card: what the training ran on."""
    notes: tuple[str, ...] = ()
    """For the model card: measured results and further limits, a sentence each."""

    def run(self) -> None:
        """Write the bundle, weights in half precision."""
        runs = [path.parent for path in (self.vae, self.dit, self.ldrm)]
        vae, dit = CausalVideoVAE.from_pretrained(self.vae), CompactDiT.from_pretrained(self.dit)
        ldrm = LDRM.from_pretrained(self.ldrm)
        pipeline = Diff4SplatPipeline(
            CompactBackbone(vae, dit),
            ldrm,
            num_frames=self.frames,
            height=self.size,
            width=self.size,
            num_steps=self.steps,
            num_gaussians=self.num_gaussians,
        )
        pipeline.save_pretrained(self.output, backbone="compact", dtype=torch.float16)
        write_model_card(
            self.output,
            parts={"video autoencoder": vae, "diffusion transformer": dit, "reconstruction model": ldrm},
            runs={path.name: read_run(path) for path in (*self.earlier, *runs)},
            clip=(self.frames, self.size, self.size),
            commands=self.commands,
            hardware=self.hardware,
            notes=self.notes,
        )


Stage = (
    Annotated[Clips, subcommand("clips", prefix_name=False)]
    | Annotated[Vae, subcommand("vae", prefix_name=False)]
    | Annotated[Latents, subcommand("latents", prefix_name=False)]
    | Annotated[Ldrm, subcommand("ldrm", prefix_name=False)]
    | Annotated[Dit, subcommand("dit", prefix_name=False)]
    | Annotated[Bundle, subcommand("bundle", prefix_name=False)]
)
"""One stage of training, as a type that tyro reads as subcommands."""


def main(arguments: Sequence[str] | None = None, *, program: str = "python -m diff4splat.training") -> None:
    """Run one stage.

    Args:
        arguments: Words of the command line after the program's name; those of this process when omitted.
        program: Name of the program in help and errors.
    """
    stage: Clips | Vae | Latents | Ldrm | Dit | Bundle = tyro.cli(
        Stage,
        args=arguments,
        prog=program,
        description="Train the compact model, stage by stage: clips, vae, latents, ldrm, dit, bundle.",
    )
    stage.run()


@dataclass(frozen=True)
class _Batches:
    """Batches from a step on."""

    folder: Path
    batch_size: int
    names: tuple[str, ...]
    seed: int

    def __call__(self, step: int) -> Iterator[tuple[dict[str, Tensor], list[str]]]:
        clips = ShardClips(self.folder, names=self.names)
        return Batches([(clips, 1.0)], self.batch_size, seed=self.seed, needs=self.names).from_step(step)
