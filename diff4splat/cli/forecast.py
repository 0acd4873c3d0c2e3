"""What a run will need, said before anything is loaded, and what to do where there is too little memory."""

import logging
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from diff4splat.cli.console import size_in_words
from diff4splat.cli.results import output_size

if TYPE_CHECKING:
    import torch

    from diff4splat.pipelines.preflight import Remedy, RunEstimate

__all__ = ["SAVING_OPTIONS", "check_forecast", "flags_of", "memory_advice"]

logger = logging.getLogger(__name__)

SAVING_OPTIONS = {
    "offload": "--offload",
    "storage_8bit": "--storage-8bit",
    "tiny_vae": "--tiny-vae",
    "clip": "a smaller --clip",
    "frames": "fewer --frames",
    "size": "a smaller --size",
}
"""Options that save memory, by the field of a command that holds them, and what to say about them."""

_FOR_LARGE_MODELS = ("offload", "storage_8bit", "tiny_vae")


def check_forecast(
    options: Any,
    model: str,
    device: "torch.device",
    *,
    frames: int | None = None,
    size: int | None = None,
    **sizes: Any,
) -> None:
    """Say what a model that does not come with the package needs; refuse what cannot fit.

    Args:
        options: The command, whose fields tell which options there are to offer.
        model: Name, folder or Hub id.
        device: Where it will run.
        frames: Frames of the videos that are written; as many as the clip has when omitted.
        size: Longer side of these videos, see `output_size`.
        **sizes: See `preflight`.

    Raises:
        ValueError: If it needs more memory than there is, and `options.force` is not set.
    """
    from diff4splat.hub.resolve import comes_with_weights
    from diff4splat.pipelines.preflight import preflight
    from diff4splat.pipelines.run_plan import plan_run

    if comes_with_weights(model):
        return
    try:
        count, height, width = plan_run(model).clip
        output = (frames or count, *output_size(height, width, size))
        estimate = preflight(model, device=device, **{"output": output, **_given(options), **sizes})
    except (FileNotFoundError, ValueError) as error:  # loading it will say what is wrong
        logger.info("no estimate of memory and time: %s", error)
        return
    if not estimate.stages:
        logger.info("no estimate of memory and time: nothing is known about what %s is made of", model)
        return
    for line in _sentences(estimate):
        logger.info(line)
    if estimate.fits is False and not options.force:
        raise ValueError(_refusal(estimate, flags_of(options)))


def flags_of(options: Any) -> dict[str, str]:
    """What saves memory in a command.

    Args:
        options: The command: a dataclass, or its class.

    Returns:
        Options by the name of their field, of those that the command has.
    """
    names = {item.name for item in fields(options)} if is_dataclass(options) else set()
    return {name: flag for name, flag in SAVING_OPTIONS.items() if name in names}


def memory_advice(options: Any) -> str:
    """What to try after a run that ended for want of memory.

    Args:
        options: The command.

    Returns:
        Such as "try --offload, fewer --frames or a smaller --size".
    """
    from diff4splat.hub.resolve import comes_with_weights

    flags = flags_of(options)
    if comes_with_weights(getattr(options, "model", "")):
        flags = {name: flag for name, flag in flags.items() if name not in _FOR_LARGE_MODELS}
    advice = list(flags.values()) or ["a smaller input"]
    return f"try {_listed(advice)}"


def _given(options: Any) -> dict[str, Any]:
    """Arguments of `preflight` for the savings that a command is told to use already."""
    found: dict[str, Any] = {}
    offload = getattr(options, "offload", None)
    if offload not in (None, "none"):
        found["offload"] = "model" if offload == "model" else "group"
    if getattr(options, "storage_8bit", False):
        found["storage"] = "float8"
    if getattr(options, "tiny_vae", False):
        found["tiny_vae"] = True
    return found


def _sentences(estimate: "RunEstimate") -> list[str]:
    frames, height, width = estimate.clip
    weights = size_in_words(sum(estimate.weights.values()))
    worst = max(estimate.stages, key=lambda stage: stage.activations)
    free = "" if estimate.available is None else f", {size_in_words(estimate.available)} are free"
    activations = f"'{worst.name}' {size_in_words(int(worst.activations))}"
    lines = [
        f"{frames} frames of {width}x{height}: about {size_in_words(estimate.memory)} of memory on "
        f"{estimate.device}{free}; weights {weights}, {activations}"
    ]
    time = "" if estimate.seconds is None else f"about {_duration(estimate.seconds)}"
    words = [
        f"{estimate.num_passes} passes in {estimate.num_steps} steps" if estimate.num_passes else "",
        f"{time} here" if time else "",
    ]
    load = f"{size_in_words(estimate.download)} to download first" if estimate.download else ""
    spoken = "; ".join(part for part in (", ".join(word for word in words if word), load) if part)
    if spoken:
        lines.append(spoken)
    if estimate.unknown:
        lines.append(f"not counted, as nothing is known about it: {', '.join(estimate.unknown)}")
    return lines


def _refusal(estimate: "RunEstimate", flags: Mapping[str, str]) -> str:
    if estimate.available is not None and estimate.memory > estimate.available:
        need, free, place = estimate.memory, estimate.available, estimate.device
    else:
        need, free, place = estimate.host_memory, estimate.host_available or 0, "the CPU"
    offers = [_offer(remedy, estimate, flags) for remedy in estimate.remedies]
    kept = [offer for offer in offers if offer]
    advice = f"it fits with {', or with '.join(kept)}" if kept else "no option makes it fit"
    return (
        f"--model needs about {size_in_words(need)} of memory on {place}, where {size_in_words(free)} are "
        f"free: {advice}; --force tries it all the same."
    )


def _offer(remedy: "Remedy", estimate: "RunEstimate", flags: Mapping[str, str]) -> str:
    """Words of the command line for a remedy; empty if the command has no such option."""
    changes = dict(remedy.options)
    words = []
    if "offload" in changes:
        words.append(f"--offload {changes['offload']}" if "offload" in flags else "")
    if "storage" in changes:
        words.append("--storage-8bit" if "storage_8bit" in flags else "")
    if "tiny_vae" in changes:
        words.append("--tiny-vae" if "tiny_vae" in flags else "")
    if changes.keys() & {"num_frames", "height"}:
        frames, height, width = estimate.clip
        frames = changes.get("num_frames", frames)
        height, width = changes.get("height", height), changes.get("width", width)
        clip = f"{frames}x{height}x{width}"
        words.append(f"--clip {clip}" if "clip" in flags else f"a clip of {clip} in its pipeline_config.json")
    return f"{' and '.join(words)} ({size_in_words(remedy.memory)})" if all(words) else ""


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
