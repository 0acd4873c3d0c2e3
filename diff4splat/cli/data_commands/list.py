"""`diff4splat data list`: which datasets can be read."""

import json
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import FlagCreatePairsOff

from diff4splat.cli.console import Console, table

__all__ = ["List"]


@dataclass(frozen=True)
class List:
    """Say which datasets can be read, under which licence each is.

    In use:
      diff4splat data list
      diff4splat data list --json

    Args:
        json: Print the list as JSON.
    """

    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Print the list."""
        with console.libraries():
            from diff4splat.data import DATASETS
        rows = [(key, reader.title, reader.licence) for key, reader in DATASETS.items()]
        if self.json:
            facts = [{"name": name, "title": title, "licence": licence} for name, title, licence in rows]
            console.print(json.dumps(facts, ensure_ascii=False, indent=1))
        else:
            console.print(table(("name", "dataset", "licence"), rows))
