"""The stages of training as commands: clips, vae, latents, ldrm, dit, bundle."""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated

import torch
import tyro
from tqdm import tqdm

from diff4splat.backbones.compact import CausalVideoVAE, CompactBackbone, CompactDiT
from diff4splat.models import LDRM
from diff4splat.training.loop import LoopConfig, run_loop
from diff4splat.training.objectives import autoencoder_losses, diffusion_losses, reconstruction_losses
from diff4splat.training.shards import ClipShards, make_clips, read_shard, write_shard

__all__ = ["main"]

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

    def run(self) -> None:
        """Write the shards that are missing."""
        for number in tqdm(range(self.start, self.start + self.shards), desc="clips", unit="shard"):
            path = self.output / f"{number:06d}.safetensors"
            if path.exists():
                continue
            parts = [
                make_clips(
                    [number * self.clips + first + i for i in range(self.batch)],
                    still_camera=self.still_camera,
                )
                for first in range(0, self.clips, self.batch)
            ]
            merged = {name: torch.cat([clips[name] for clips, _ in parts]) for name in parts[0][0]}
            write_shard(path, merged, [caption for _, captions in parts for caption in captions])


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
        batches = iter(ClipShards(self.clips, batch_size=self.batch, names=("video",), seed=self.loop.seed))
        run_loop(
            vae,
            batches,
            lambda batch, generator: autoencoder_losses(vae, batch[0], generator, crop=self.crop),
            self.output,
            self.loop,
            name="vae",
        )
        with torch.no_grad():
            means = torch.cat(
                [vae.posterior(clips["video"].float() / 255)[0] for clips, _ in islice(batches, 32)]
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
    """Wait for and encode this many shards; those that exist when omitted."""

    def run(self) -> None:
        """Encode the shards that are not encoded yet."""
        vae = CausalVideoVAE.from_pretrained(self.vae).eval()
        for path in tqdm(
            sorted(self.clips.glob("*.safetensors"))[: self.shards], desc="latents", unit="shard"
        ):
            target = self.output / path.name
            if target.exists():
                continue
            clips, captions = read_shard(path)
            with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
                parts = [vae.encode(video.float() / 255) for video in clips["video"].split(8)]
            write_shard(target, {**clips, "latents": torch.cat(parts).half()}, captions)


@dataclass(frozen=True)
class Ldrm:
    """Train the reconstruction model on encoded clips."""

    clips: Path = Path("cache/latents")
    """Folder of encoded shards."""
    output: Path = Path("runs/ldrm")
    """Folder of the run; an existing one is continued."""
    batch: int = 16
    """Clips per step."""
    loop: Annotated[LoopConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: LoopConfig(steps=6000, learning_rate=1e-3)
    )

    def run(self) -> None:
        """Train."""
        torch.manual_seed(self.loop.seed)
        ldrm = LDRM()
        batches = iter(ClipShards(self.clips, batch_size=self.batch, names=_CLIP_NAMES, seed=self.loop.seed))
        run_loop(
            ldrm,
            batches,
            lambda batch, generator: reconstruction_losses(ldrm, batch[0], generator),
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
    batch: int = 16
    """Clips per step."""
    loop: Annotated[LoopConfig, tyro.conf.OmitArgPrefixes] = field(
        default_factory=lambda: LoopConfig(steps=6000, learning_rate=1e-3)
    )

    def run(self) -> None:
        """Train."""
        torch.manual_seed(self.loop.seed)
        dit = CompactDiT()
        names = ("video", "latents", "camera_to_world", "intrinsics")
        batches = iter(ClipShards(self.clips, batch_size=self.batch, names=names, seed=self.loop.seed))
        run_loop(
            dit,
            batches,
            lambda batch, generator: diffusion_losses(dit, batch[0], batch[1], generator),
            self.output,
            self.loop,
            name="dit",
        )


@dataclass(frozen=True)
class Bundle:
    """Put trained parts together as a folder that the pipeline loads."""

    vae: Path = Path("runs/vae/final")
    """Trained autoencoder."""
    dit: Path = Path("runs/dit/averaged")
    """Trained diffusion transformer."""
    ldrm: Path = Path("runs/ldrm/averaged")
    """Trained reconstruction model."""
    output: Path = Path("diff4splat/weights/compact")
    """Folder of the bundle; replaced."""
    num_gaussians: int = 100_000
    """Gaussian budget of the pipeline."""

    def run(self) -> None:
        """Write the bundle in half precision."""
        backbone = CompactBackbone(
            CausalVideoVAE.from_pretrained(self.vae), CompactDiT.from_pretrained(self.dit)
        )
        backbone.save_pretrained(self.output / "backbone", dtype=torch.float16)
        LDRM.from_pretrained(self.ldrm).save_pretrained(self.output / "ldrm", dtype=torch.float16)


def main(arguments: list[str] | None = None) -> None:
    """Run one stage from the command line."""
    stage = tyro.extras.subcommand_cli_from_dict(
        {
            "clips": Clips,
            "vae": Vae,
            "latents": Latents,
            "ldrm": Ldrm,
            "dit": Dit,
            "bundle": Bundle,
        },
        args=arguments,
        prog="python -m diff4splat.training",
        description="Train the compact model, stage by stage: clips, vae, latents, ldrm, dit, bundle.",
    )
    stage.run()
