"""Names of recordings and clips among all others, of characters that can name a file."""

import json
import re
from collections.abc import Sequence
from hashlib import sha256

__all__ = ["check_uid", "clip_uid", "recording_uid"]

_LONGEST = 80  # characters
_SPOKEN = 60  # of a clip's dataset and name
_UID = re.compile(rf"[A-Za-z0-9_-]{{1,{_LONGEST}}}")


def recording_uid(dataset: str, name: str) -> str:
    """A name of a recording that can name a file, and that no other recording of the dataset has.

    Args:
        dataset: Name of the dataset.
        name: Name of the recording in it, a path with "/".

    Returns:
        Both, with "--" for "/"; where that would be ambiguous, too long or hold other characters than
        letters, digits, "-" and "_", these are replaced and a hash of the name follows. Up to 80 characters.

    Examples:
        >>> recording_uid("spring", "train/0001/left")
        'spring--train--0001--left'
    """
    parts = [dataset, *name.split("/")]
    plain = all(re.fullmatch(r"[A-Za-z0-9_]+(-[A-Za-z0-9_]+)*", part) for part in parts)
    uid = "--".join(parts)
    if plain and len(uid) <= _LONGEST:
        return uid
    digest = sha256(name.encode(errors="surrogatepass")).hexdigest()[:12]
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", uid)[: _LONGEST - len(digest) - 2]
    return f"{safe}--{digest}"


def clip_uid(dataset: str, name: str, numbers: Sequence[int]) -> str:
    """A name of a clip that says where it is from and is its own: equal only for the same frames.

    Args:
        dataset: Name of the dataset.
        name: Name of the recording in it.
        numbers: Numbers of its frames.

    Returns:
        Dataset and name as far as there is room, number of the first frame, and a hash of dataset, name and
        numbers. Up to 80 characters.

    Examples:
        >>> clip_uid("tartanair", "office/P001", [0, 1])
        'tartanair-office-P001-000000-60d2bd33'
    """
    digest = sha256(json.dumps([dataset, name, list(numbers)]).encode()).hexdigest()[:8]
    spoken = re.sub(r"[^A-Za-z0-9_]+", "-", f"{dataset}-{name}").strip("-")
    first = numbers[0] if numbers else 0
    return f"{spoken[:_SPOKEN]}-{first % 10**6:06d}-{digest}"


def check_uid(uid: str) -> str:
    """The uid, if it is one.

    Args:
        uid: Any text.

    Returns:
        The same.

    Raises:
        ValueError: If it is not of up to 80 letters, digits, "-" and "_".
    """
    if not _UID.fullmatch(uid):
        raise ValueError(f'uid must be 1 to {_LONGEST} letters, digits, "-" or "_", got {uid!r}.')
    return uid
