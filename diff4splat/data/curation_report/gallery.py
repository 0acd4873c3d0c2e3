"""Which clips a report lists, and which of them with a picture: some of every kind."""

import base64
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from diff4splat.data.curation_report.summary import dataset_of, kind_of
from diff4splat.data.stages.item import Outcome, Value

__all__ = ["gallery_data", "picture_address", "spread"]

_FORMATS = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"RIFF", "webp"))


def spread(groups: Sequence[Hashable], limit: int) -> list[int]:
    """Places of at most `limit` members, of all groups as evenly as they have members.

    Each group gives the same number, or all that it has; within a group they are spread from its first to its
    last. Groups that appear first give one more where the limit does not divide evenly.

    Args:
        groups: Group of each member.
        limit: Largest number of places, at least 0.

    Returns:
        Ascending places in `groups`.

    Examples:
        >>> spread("aaaaaabbc", 5)
        [0, 5, 6, 7, 8]
    """
    members: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    left, taken = min(limit, len(groups)), dict.fromkeys(members, 0)
    while left:
        hungry = [group for group in members if taken[group] < len(members[group])]
        each = max(left // len(hungry), 1)
        for group in hungry[:left]:
            more = min(each, len(members[group]) - taken[group])
            taken[group] += more
            left -= more
    places = []
    for group, own in members.items():
        count = taken[group]
        places += [own[round(step * (len(own) - 1) / max(count - 1, 1))] for step in range(count)]
    return sorted(places)


def gallery_data(
    outcomes: Sequence[Outcome],
    previews: Mapping[str, bytes],
    *,
    max_clips: int,
    max_pictures: int,
) -> dict[str, Any]:
    """What the page of a report knows about clips, as JSON values.

    Clips are spread over the status, dataset, stage and kind of reason. Those with a picture are chosen
    first, so that every picture has its clip.

    Args:
        outcomes: One for each clip.
        previews: JPEG, PNG or WebP files by uid; only those that are shown are asked for.
        max_clips: Largest number of clips.
        max_pictures: Largest number of pictures.

    Returns:
        "metrics" and "stages" name the columns of "values" and "seconds"; "datasets" and "kinds" are lists
        that clips point into; "clips" are in the order of the outcomes; "pictures" are data URIs by place in
        "clips".

    Raises:
        ValueError: If a preview that is shown is no picture.
    """
    groups = [_group(outcome) for outcome in outcomes]
    seen = [place for place, outcome in enumerate(outcomes) if outcome.uid in previews]
    pictured = {
        seen[place] for place in spread([groups[place] for place in seen], min(max_pictures, max_clips))
    }
    others = [place for place in range(len(outcomes)) if place not in pictured]
    plain = {
        others[place] for place in spread([groups[place] for place in others], max_clips - len(pictured))
    }
    chosen = sorted(pictured | plain)
    rows = [outcomes[place] for place in chosen]
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    stages = list(dict.fromkeys(name for row in rows for name in row.seconds))
    datasets = sorted({dataset_of(row) for row in rows})
    kinds = sorted({kind_of(row) for row in rows if row.status != "kept"})
    places = {kind: place for place, kind in enumerate(kinds)}
    return {
        "metrics": metrics,
        "stages": stages,
        "datasets": datasets,
        "kinds": kinds,
        "clips": [
            {
                "uid": row.uid,
                "status": row.status,
                "stage": row.stage,
                "reason": row.reason,
                "dataset": datasets.index(dataset_of(row)),
                "kind": places[kind_of(row)] if row.status != "kept" else -1,
                "values": [_json_value(row.metrics.get(name)) for name in metrics],
                "seconds": [_json_value(row.seconds.get(name)) for name in stages],
            }
            for row in rows
        ],
        "pictures": {
            str(index): picture_address(outcomes[place].uid, previews[outcomes[place].uid])
            for index, place in enumerate(chosen)
            if place in pictured
        },
    }


def picture_address(uid: str, picture: bytes) -> str:
    """A picture as an address that holds it.

    Args:
        uid: Name of the clip, for the words of an error.
        picture: A JPEG, PNG or WebP file.

    Returns:
        A data URI.

    Raises:
        ValueError: If it is neither.
    """
    name = next((name for start, name in _FORMATS if picture.startswith(start)), None)
    if name is None or (name == "webp" and picture[8:12] != b"WEBP"):
        raise ValueError(
            f"previews[{uid!r}] must be a JPEG, PNG or WebP file, got {len(picture)} bytes that begin with "
            f"{bytes(picture[:8])!r}."
        )
    return f"data:image/{name};base64,{base64.b64encode(picture).decode('ascii')}"


def _group(outcome: Outcome) -> tuple[str, ...]:
    kind = "" if outcome.status == "kept" else kind_of(outcome)
    return (outcome.status, dataset_of(outcome), "" if outcome.status == "kept" else outcome.stage, kind)


def _json_value(value: Value) -> Value:
    """JSON has no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
