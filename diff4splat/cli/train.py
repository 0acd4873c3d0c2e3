"""`diff4splat train`: the stages that train the compact model."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.stopping import hold_requests

__all__ = ["Train"]


@dataclass(frozen=True)
class Train:
    """Train the compact model, stage by stage.

    clips renders procedural scenes to disk. vae trains the video autoencoder on them, latents encodes them
    with it. ldrm trains the reconstruction model and dit the diffusion transformer on the latents. bundle
    puts the three together as a folder for --model. A stage that was stopped goes on where it was when it is
    run again.

    In use:
      diff4splat train vae --help
      diff4splat train clips --shards 100
      diff4splat train vae --steps 4000

    Args:
        stage: What to run.
        options: Options of the stage, which `diff4splat train STAGE --help` lists.
    """

    stage: Annotated[
        Positional[Literal["clips", "vae", "latents", "ldrm", "dit", "bundle"]], arg(metavar="STAGE")
    ]
    options: Annotated[Positional[tuple[str, ...]], arg(metavar="[OPTIONS]", help_behavior_hint="")] = ()

    def run(self, console: Console) -> None:
        """Run the stage; it shows its own progress."""
        with hold_requests():
            from diff4splat.training.commands import main

        main([self.stage, *self.options], program="diff4splat train")
