"""`diff4splat models`: what can be run, from where, under which licence, and what is missing for it."""

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli.console import Console, size_in_words, table
from diff4splat.cli.stopping import hold_requests

if TYPE_CHECKING:
    from diff4splat.catalog.registry import KnownModel

__all__ = ["Models"]

_CARD, _CARD_RATE = "an RTX 4090", 165e12  # bfloat16 with float32 sums, operations per second


@dataclass(frozen=True)
class Models:
    """List what can be run: where it comes from, its licence, what it needs, what is missing.

    Names of pipelines can be given to `--model`. So can a folder that holds a pipeline_config.json, and the
    id of a pipeline on the Hugging Face Hub, such as user/model, which is downloaded once.

    Memory is what a run at the size of the model's clips takes with all weights in bfloat16 on the GPU, and
    time is that of its sampling steps and decoding on an RTX 4090: both are estimates. "with offload" is the
    memory when one part of the model at a time is on the GPU.

    In use:
      diff4splat models
      diff4splat models wan2.2-fun-camera-5b
      diff4splat models --json

    Args:
        name: Say everything about one model; all are listed when omitted.
        json: Print all that is known as JSON.
    """

    name: Annotated[Positional[str | None], arg(metavar="[NAME]", help_behavior_hint="")] = None
    json: Annotated[bool, FlagCreatePairsOff] = False

    def run(self, console: Console) -> None:
        """Print one row per model, or the details of one."""
        with hold_requests():
            from diff4splat.catalog.registry import find_model, list_models

        models = list_models()
        if self.name is not None:
            named = next((model for model in models if model.name == self.name), find_model(self.name))
            if named is None:
                known = ", ".join(model.name for model in models)
                raise ValueError(f"NAME must be one of {known}, got {self.name!r}.")
            models = [named]
        facts = [_facts(model) for model in models]
        if self.json:
            console.print(json.dumps(facts, indent=1, ensure_ascii=False))
        elif self.name is not None:
            console.print(_details(facts[0]))
        else:
            console.print(_table(facts))


def _facts(model: "KnownModel") -> dict[str, Any]:
    """All that is known about a model, as JSON values."""
    from diff4splat.catalog.registry import missing_for

    facts = asdict(model)
    facts["num_parameters"] = model.num_parameters
    facts["code"] = list(model.code)
    facts["missing"] = missing_for(model)
    facts |= _estimates(model)
    return facts


def _estimates(model: "KnownModel") -> dict[str, Any]:
    """Memory and time on a GPU with all weights on it, and memory with offload."""
    from diff4splat.pipelines.preflight import preflight

    if model.memory is not None or not (model.role == "video model" or model.parts):
        return {"memory": model.memory, "memory_with_offload": None, "seconds": None}
    try:
        run = preflight(model.name, device="meta", rate=_CARD_RATE)
        apart = preflight(model.name, device="meta", rate=_CARD_RATE, offload="model")
    except ValueError:  # a route with parts that are not known
        return {"memory": None, "memory_with_offload": None, "seconds": None}
    return {"memory": run.memory, "memory_with_offload": apart.memory, "seconds": run.seconds}


def _table(facts: list[dict[str, Any]]) -> str:
    rows = []
    for model in facts:
        clip = "x".join(map(str, model["clip"])) if model["clip"] else "any"
        licence, more, _ = model["licence"].partition(";")
        if " and " in licence:  # of a route, whose parts have their own
            licence, more = "of parts", "see there"
        missing = model["missing"]
        rows.append(
            (
                model["name"],
                clip,
                _count(model["num_parameters"]),
                _memory(model["memory"]),
                _memory(model["memory_with_offload"]),
                _time(model["seconds"]),
                licence.removesuffix(" License") + ("*" if more else ""),
                ", ".join("packages" if phrase.startswith("pip") else phrase for phrase in missing)
                or "nothing",
            )
        )
    head = ("name", "clip", "weights", "memory", "offload", "time", "licence", "missing")
    lines = table(head, rows, right=(1, 2, 3, 4, 5))
    return (
        f"{lines}\n\n"
        f"Memory and time: estimates for one clip in bfloat16 on {_CARD}; offload: one part at a time.\n"
        "* with conditions, see: diff4splat models NAME. What a file or folder is: diff4splat inspect FILE"
    )


def _details(model: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {_count(count)}" for name, count in model["parameters"].items())
    clip = model["clip"]
    lines = [
        ("what", model["summary"]),
        (
            "source",
            f"https://huggingface.co/{model['repository']}" if model["repository"] else "this package",
        ),
        ("made of", ", ".join(model["parts"])),
        ("licence", model["licence"]),
        ("parameters", f"{_count(model['num_parameters'])}: {parts}" if parts else ""),
        ("download", size_in_words(model["download_bytes"]) if model["download_bytes"] else ""),
        ("clip", f"{clip[0]} frames of {clip[2]} x {clip[1]}, {model['steps']} steps" if clip else ""),
        ("memory", _memory(model["memory"], "") + (" in bfloat16, estimated" if model["seconds"] else "")),
        ("with offload", _memory(model["memory_with_offload"], "")),
        ("time", f"{_time(model['seconds'])} on {_CARD}, estimated" if model["seconds"] else ""),
        ("missing", ", ".join(model["missing"]) or "nothing"),
    ]
    text = "\n".join(f"  {name:<12}  {value}" for name, value in lines if value)
    code = "\n".join(f"  {line}" for line in model["code"])
    return f"{model['name']}\n{text}\n\n{code}"


def _count(count: int) -> str:
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.0f} M" if count else "-"


def _memory(count: int | None, none: str = "-") -> str:
    return none if count is None else f"{count / 1e9:.0f} GB" if count >= 1e10 else f"{count / 1e9:.1f} GB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
