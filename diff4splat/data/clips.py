"""The clip, which is what training reads: a dictionary of tensors and a caption.

Any dataset that has a length and whose items are such pairs can be trained on. A stage of training names the
keys that it needs and passes over the others.

| key | type | shape | meaning |
|---|---|---|---|
| `video` | uint8 | frame rgb=3 height width | Pixel frames, 4k + 1 of them with k at least 1. |
| `camera_to_world` | float | frame 4 4 | Rigid pose of each frame's camera: OpenCV axes, scene units. |
| `intrinsics` | float | frame 3 3 | Pixels of the video; pixel centres at +0.5. |
| `depth` | float | key_frame height width | z-depth in scene units; 0 or NaN where it is unknown. |
| `object_index` | uint8 | key_frame height width | Object seen by each pixel; 0 is the world, which rests. |
| `object_motion` | float | object frame 3 4 | Rigid motion of each object from frame 0 to each frame. |
| `tracks` | float | track frame xyz=3 | World positions of points that are followed through the clip. |
| `visible` | bool | track frame | Whether a point is seen in a frame; where not, its position may be NaN. |
| `latents` | float | key_frame channel latent_height latent_width | The video, encoded and normalised. |

Key frames are every fourth frame, the first and the last among them: k + 1. Floats may have half precision.
Motion is known densely, by `object_index` and `object_motion`, or along tracks, by `tracks` and `visible`; a
clip of a static scene needs neither. Time runs from 0 at the first frame to 1 at the last.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

__all__ = ["KEY_STRIDE", "ClipDataset", "check_clip", "needed_keys"]

KEY_STRIDE = 4
"""Frames from one that carries depth to the next."""
_FORMS = {
    "video": ("uint8", "frame 3 height width"),
    "camera_to_world": ("float", "frame 4 4"),
    "intrinsics": ("float", "frame 3 3"),
    "depth": ("float", "key_frame height width"),
    "object_index": ("uint8", "key_frame height width"),
    "object_motion": ("float", "object frame 3 4"),
    "tracks": ("float", "track frame 3"),
    "visible": ("bool", "track frame"),
    "latents": ("float", "key_frame channel latent_height latent_width"),
}
_MOTIONS = (("object_index", "object_motion"), ("tracks", "visible"))


@runtime_checkable
class ClipDataset(Protocol):
    """What training takes clips from: anything with a length whose items are a clip and its caption.

    `dataset[i]` with i from 0 to `len(dataset) - 1` may raise ValueError, KeyError or OSError if that clip
    cannot be read, which is then counted as a bad clip; any other error ends the training.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[dict[str, Tensor], str]: ...


def needed_keys(clip: Mapping[str, Tensor], needs: Sequence[str]) -> list[str]:
    """The keys of a clip that stand for what is needed: "motion" is spelled out, and given once.

    Args:
        clip: Tensors by key.
        needs: Keys, or "motion" for either of its forms; the dense form is preferred.

    Returns:
        Keys in the order of `needs`; those of dense motion if the clip has motion in neither form.
    """
    form = next((form for form in _MOTIONS if all(key in clip for key in form)), _MOTIONS[0])
    keys = [key for need in needs for key in (form if need == "motion" else (need,))]
    return list(dict.fromkeys(keys))


def check_clip(clip: Mapping[str, Tensor], *, needs: Sequence[str]) -> str | None:
    """The reason why a clip cannot be trained on, or None if it can.

    Bad are keys that are missing or have the wrong type or shape, alone or beside the others; cameras, motion
    or latents that are not finite; depth that is negative, infinite or unknown everywhere; object numbers
    without a motion; and tracks of which none is visible in a key frame, or that are not finite where they
    are visible. Only what is needed is looked at.

    Args:
        clip: Tensors by key, see the table of keys.
        needs: Keys that must be there; "motion" is either of its forms. Keys beyond the table may have any
            shape.

    Returns:
        One sentence that names the key, what was expected and what was found.

    Examples:
        >>> check_clip({"video": torch.zeros(6, 3, 16, 16, dtype=torch.uint8)}, needs=["video"])
        'video must have 4k + 1 frames with k at least 1, got 6.'
    """
    keys = needed_keys(clip, needs)
    missing = [key for key in keys if key not in clip]
    if missing and "motion" in needs and all(key in _MOTIONS[0] for key in missing):
        return "motion is missing: neither object_index and object_motion nor tracks and visible are there."
    if missing:
        return f"{', '.join(missing)} missing; there are {', '.join(sorted(clip)) or 'no keys'}."
    needed = {key: clip[key] for key in _FORMS if key in keys}
    return _wrong_form(needed) or _wrong_values(needed)


def _wrong_form(clip: dict[str, Tensor]) -> str | None:
    """What is wrong with types and shapes; sizes of the same name must agree between keys."""
    sizes: dict[str, int] = {}
    for key, value in clip.items():
        kind, words = _FORMS[key]
        if not isinstance(value, Tensor):
            return f"{key} must be a tensor, got {type(value).__name__}."
        found = f"got {str(value.dtype).removeprefix('torch.')} {list(value.shape)}."
        is_kind = value.is_floating_point() if kind == "float" else value.dtype == getattr(torch, kind)
        if not is_kind or value.ndim != len(words.split()) or 0 in value.shape:
            return f"{key} must be {kind} [{words}], {found}"
        known = " ".join(f"{word}={sizes[word]}" if word in sizes else word for word in words.split())
        for word, size in zip(words.split(), value.shape, strict=True):
            if size != (int(word) if word.isdigit() else sizes.setdefault(word, size)):
                return f"{key} must be {kind} [{known}], {found}"
            if word == "frame" and (size < 5 or size % KEY_STRIDE != 1):
                return f"{key} must have 4k + 1 frames with k at least 1, got {size}."
            key_frames = size // KEY_STRIDE + 1
            if word == "frame" and sizes.setdefault("key_frame", key_frames) != key_frames:
                return f"{key} must have 4k + 1 frames for {sizes['key_frame']} key frames, got {size}."
    return None


def _wrong_values(clip: dict[str, Tensor]) -> str | None:
    for key in ("camera_to_world", "intrinsics", "object_motion", "latents"):
        if key in clip and not torch.isfinite(clip[key]).all():
            return f"{key} must be finite, got NaN or infinity."
    if "intrinsics" in clip and not (clip["intrinsics"].diagonal(dim1=-2, dim2=-1) > 0).all():
        return "intrinsics must have focal lengths above 0."
    if "depth" in clip:
        depth = clip["depth"]
        if (depth < 0).any() or torch.isinf(depth).any():
            return (
                "depth must be at least 0 and finite, or NaN where unknown, got negative or infinite depth."
            )
        if not (depth > 0).any():
            return "depth must be known somewhere, got 0 or NaN everywhere."
    if "object_index" in clip and "object_motion" in clip:
        highest, objects = int(clip["object_index"].max()), len(clip["object_motion"])
        if highest >= objects:
            return f"object_index must be below the {objects} objects of object_motion, got {highest}."
    if "visible" in clip and not clip["visible"][:, ::KEY_STRIDE].any():
        return "visible must hold for some track in some key frame, got none."
    if "tracks" in clip and "visible" in clip and not torch.isfinite(clip["tracks"][clip["visible"]]).all():
        return "tracks must be finite where visible, got NaN or infinity."
    return None
