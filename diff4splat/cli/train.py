"""`diff4splat train`: the stages that train the compact model."""

import contextlib
import io
import itertools
from dataclasses import dataclass
from typing import Annotated, Any, Literal

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
            import tyro

            from diff4splat.training.commands import Stage
        box = io.StringIO()
        try:
            with contextlib.redirect_stderr(box):
                stage: Any = tyro.cli(Stage, prog="diff4splat train", args=[self.stage, *self.options])
        except SystemExit as exit:
            if not exit.code:  # help was asked for
                raise
            raise ValueError(
                f"{_sentence(box.getvalue())}; see diff4splat train {self.stage} --help"
            ) from None
        stage.run()


def _sentence(box: str) -> str:
    """The first paragraph in a box that tyro draws, of lines or of dashes, as one line."""

    def is_rule(line: str) -> bool:
        return line.startswith(("╰", "───", "---"))

    inside = itertools.dropwhile(is_rule, (line.strip("│ ") for line in box.splitlines()[1:]))
    return " ".join(itertools.takewhile(lambda line: not is_rule(line), inside))
