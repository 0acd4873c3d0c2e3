"""`diff4splat models`: what comes with the package."""

import json
from dataclasses import dataclass

from diff4splat.cli.console import Console, file_size, table
from diff4splat.cli.stopping import hold_requests

__all__ = ["Models"]


@dataclass(frozen=True)
class Models:
    """List the models that come with the package.

    Their names can be given to `--model`. So can a folder that holds a pipeline_config.json, and the id of a
    model on the Hugging Face Hub, such as user/model, which is downloaded once.

    In use:
      diff4splat models
    """

    def run(self, console: Console) -> None:
        """Print one row per model."""
        with hold_requests():
            from diff4splat.hub import list_bundled, resolve_pretrained

        rows = []
        for name in list_bundled():
            folder = resolve_pretrained(name)
            file = folder / "pipeline_config.json"
            config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            clip = (
                f"{config.get('num_frames', '?')} x {config.get('height', '?')} x {config.get('width', '?')}"
            )
            rows.append(
                (name, file_size(folder), clip, str(config.get("num_gaussians") or "all"), str(folder))
            )
        if not rows:
            console.print("This copy of the package has no model in it.")
            return
        console.print(table(("model", "size", "clip", "Gaussians", "folder"), rows, right=(1, 2, 3)))
