"""Networks by name, for the command line and for tables."""

import os
from typing import Any

from diff4splat.evaluation.extractors.cards import EXTRACTORS
from diff4splat.hub.factories import call_factory

__all__ = ["extractor_table", "load_extractor"]


def load_extractor(kind: str, source: str | os.PathLike[str] | None = None, **options: Any) -> Any:
    """Load a network; nothing is loaded or fetched before.

    Args:
        kind: Name of a card in `EXTRACTORS`.
        source: File, folder or Hub id; that of the card when omitted.
        **options: Others of the class that the card names, such as `device`.

    Returns:
        The extractor.

    Raises:
        ValueError: If there is no such kind, or the files hold something else.
        TypeError: If the class takes no such option.
        FileNotFoundError: If files are missing; says where to get them.
        ModuleNotFoundError: If a package is missing.
    """
    if kind not in EXTRACTORS:
        raise ValueError(f"kind must be one of {', '.join(EXTRACTORS)}, got {kind!r}.")
    card = EXTRACTORS[kind]
    chosen = card.source if source is None else source
    return call_factory(card.factory, {"source": chosen, **options}, name=f"extractor {kind!r}")


def extractor_table() -> str:
    """The networks as aligned text, for `--help`.

    Returns:
        A head, and one line for each with its name, metrics, default source, size, licence, what it needs.
    """
    head = ("name", "metrics", "default source", "size", "licence of the weights", "needs")
    rows = [head]
    for card in EXTRACTORS.values():
        size = f"{card.megabytes / 1000:.1f} GB" if card.megabytes >= 1000 else f"{card.megabytes:g} MB"
        rows.append(
            (
                card.kind,
                ", ".join(card.metrics),
                card.source,
                size,
                card.licence,
                ", ".join(card.needs) or "-",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
