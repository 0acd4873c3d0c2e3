"""Files of a diffusers repository: which of them are missing, pickled, damaged or of another model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diff4splat.files import pickles_in

__all__ = ["check_kind", "read_object", "weight_problems"]


def weight_problems(folder: Path) -> Iterator[Exception]:
    """What keeps the weights of a part from being loaded.

    Args:
        folder: Folder of the part.

    Yields:
        Errors for weights that are missing, in part missing, or pickled.
    """
    indices = [name for name in folder.glob("*.safetensors.index.json") if not name.name.startswith(".")]
    if indices:
        shards = sorted(set(read_object(indices[0]).get("weight_map", {}).values()))
        missing = [name for name in shards if not (folder / name).is_file()]
        if missing:
            yield FileNotFoundError(
                f"{folder} lacks {len(missing)} of {len(shards)} files of weights, such as {missing[0]}: the "
                "download was cut off; fetch it again, what is there is kept."
            )
        return
    if any(folder.glob("*.safetensors")):
        return
    pickles = pickles_in(folder)
    if pickles:
        yield ValueError(
            f"{folder} holds weights as pickle only ({pickles[0]}), which can run code: take a revision with "
            "safetensors, or convert it where you trust it."
        )
    else:
        yield FileNotFoundError(
            f"{folder} holds no safetensors file: fetch it again, or take a repository with safetensors."
        )


def check_kind(folder: Path, key: str, expected: str) -> None:
    """Refuse a part of another model.

    Args:
        folder: Folder of the part.
        key: Entry of its config.json that tells the model.
        expected: What has to stand there.

    Raises:
        ValueError: If something else stands there, or the file is damaged.
    """
    found = read_object(folder / "config.json").get(key)
    if found != expected:
        raise ValueError(
            f"{folder / 'config.json'} describes {found}, expected {expected}: the repository is mixed from "
            "several models; take each part from the same one."
        )


def read_object(path: Path) -> dict[str, Any]:
    """Content of a JSON file.

    Args:
        path: The file.

    Returns:
        Its object.

    Raises:
        ValueError: If it is damaged or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON ({error}): fetch it again.") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(content).__name__}: fetch it again.")
    return content
