"""`diff4splat train`: the stages of a recipe, to a model."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console
from diff4splat.cli.options import check_between

__all__ = ["Train"]


@dataclass(frozen=True)
class Train:
    """Train a model by a recipe: stages, each with its data, sizes, losses and what stays frozen.

    Procedural scenes are made ahead in other processes and kept on disk. A run that was stopped, whenever,
    goes on from its last checkpoint when the same command is given again. In the output folder are the
    recipe, checkpoints, log.jsonl and pictures of each stage, and at the end the model and report.md.

    In use:
      diff4splat train compact --scale-steps 0.01 --output runs/try
      diff4splat train compact --output runs/compact --tensorboard
      diff4splat train paper --show > recipe.json
      accelerate launch -m diff4splat train recipe.json --output runs/mine

    Args:
        recipe: compact (the bundled model), paper (the numbers of Diff4Splat), or a JSON file.
        output: Folder of the run; the same one again continues it.
        initial: Model to start from: a name (`diff4splat models`), a folder, or a Hugging Face Hub id. The
            recipe decides when omitted.
        cache: Folder for procedural clips; runs may share it.
        workers: Processes that make clips ahead; 0 makes them in between.
        until: Name of the last stage to run.
        scale_steps: Factor on the steps of all stages, to try a recipe in minutes.
        save_every: Steps between checkpoints.
        picture_every: Steps between pictures of what the model can do; 0 for none.
        max_bad: Share of clips that may be bad, in [0, 1]; more end the run.
        tensorboard: Write curves for TensorBoard, too.
        cpu: Leave GPUs alone.
        show: Print the recipe as JSON, to edit it, and do nothing else.
    """

    recipe: Annotated[Positional[str], arg(metavar="NAME|FILE")] = "compact"
    output: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")] = Path("runs/compact")
    initial: Annotated[str | None, arg(metavar="NAME|FOLDER|ID", help_behavior_hint="")] = None
    cache: Annotated[Path, arg(metavar="FOLDER")] = Path("cache")
    workers: Annotated[int, arg(metavar="N")] = 1
    until: Annotated[str | None, arg(metavar="STAGE", help_behavior_hint="")] = None
    scale_steps: Annotated[float, arg(metavar="X")] = 1.0
    save_every: Annotated[int, arg(metavar="N")] = 200
    picture_every: Annotated[int, arg(metavar="N")] = 200
    max_bad: Annotated[float, arg(metavar="X")] = 0.05
    tensorboard: Annotated[bool, FlagCreatePairsOff] = False
    cpu: Annotated[bool, FlagCreatePairsOff] = False
    show: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Train, or print the recipe."""
        check_between("--workers", self.workers, 0, 1000)
        check_between("--save-every", self.save_every, 1, 1_000_000_000)
        check_between("--picture-every", self.picture_every, 0, 1_000_000_000)
        if not self.scale_steps > 0:
            raise ValueError(f"--scale-steps must be > 0, got {self.scale_steps:g}.")
        if not 0 <= self.max_bad <= 1:
            raise ValueError(f"--max-bad must be in [0, 1], got {self.max_bad:g}.")
        with console.libraries():
            import torch.distributed

            from diff4splat.training import RECIPES, Recipe, Watch, stage_picture, train
            from diff4splat.training.as_json import to_json
        if self.recipe in RECIPES:
            recipe = RECIPES[self.recipe]
        elif Path(self.recipe).is_file():
            recipe = Recipe.load(self.recipe)
        else:
            raise ValueError(f"recipe must be {', '.join(RECIPES)} or a JSON file, got {self.recipe!r}.")
        if self.initial is not None:
            recipe = replace(recipe, initial=self.initial)
        if self.scale_steps != 1:
            recipe = recipe.scaled(self.scale_steps)
        if self.show:
            console.print(json.dumps(to_json(recipe), indent=2))
            return
        watch = Watch(
            save_every=self.save_every,
            picture_every=self.picture_every,
            picture=stage_picture,
            tensorboard=self.tensorboard,
            progress=not console.quiet,
        )
        model = train(
            recipe,
            self.output,
            cache=self.cache,
            num_workers=self.workers,
            watch=watch,
            until=self.until,
            max_bad_share=self.max_bad,
            cpu=self.cpu,
        )
        if torch.distributed.is_initialized():  # its threads may else end this process with an error
            torch.distributed.destroy_process_group()
        console.print(f"{model}\n{self.output / 'report.md'}")
