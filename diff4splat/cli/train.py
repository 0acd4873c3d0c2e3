"""`diff4splat train`: the stages that train the compact model."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes

from diff4splat.cli.console import Console
from diff4splat.training.commands import Stage

__all__ = ["Train"]


@dataclass(frozen=True)
class Train:
    """Train the compact model, stage by stage.

    clips renders procedural scenes to disk. vae trains the video autoencoder on them, latents encodes them
    with it. ldrm trains the reconstruction model and dit the diffusion transformer on the latents. bundle
    puts the three together as a folder for `--model`. A stage that was stopped goes on where it was when it
    is run again.

    In use:
      diff4splat train clips --shards 100
      diff4splat train vae --steps 4000
      diff4splat train vae --help
    """

    stage: Annotated[Stage, OmitArgPrefixes, OmitSubcommandPrefixes]

    def run(self, console: Console) -> None:
        """Run the stage; it shows its own progress."""
        self.stage.run()
