"""Flags of large video models: read with a command, turned into switches, refused where they do nothing."""

import logging
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
import torch
from tyro.conf import Positional, arg

from diff4splat.backbones import LatentSpec, TinyVideoVAE
from diff4splat.backbones.speed import SpeedOptions
from diff4splat.cli.generate import Generate
from diff4splat.cli.reconstruct import Reconstruct
from diff4splat.cli.speed import SpeedFlags
from diff4splat.cli.words import build, split_words
from diff4splat.pipelines import DecodedReconstructor


@dataclass(frozen=True)
class Example(SpeedFlags):
    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    size: int = 3


class Pipeline:
    """Takes note of what it is asked for."""

    def __init__(self, *, switchable: bool = True) -> None:
        self.calls: list[object] = []
        self.backbone = SimpleNamespace(use=self.use) if switchable else SimpleNamespace()

    def use(self, options: SpeedOptions, *, device: torch.device | None = None) -> SimpleNamespace:
        self.calls.append((options, device))
        return SimpleNamespace(found={"storage": "80 % of the parameters in float8"})

    def to(self, device: torch.device) -> "Pipeline":
        self.calls.append(device)
        return self


def read(*words: str) -> Example:
    return build(Example, split_words(Example, ["a.jpg", *words]))


def test_flags_become_switches_before_the_model_is_moved(
    without_shape_checker: None, caplog: pytest.LogCaptureFixture
) -> None:
    flags = read("--offload", "group", "--storage-8bit", "--cache", "taylor", "--size", "5")
    assert (flags.source, flags.size) == (Path("a.jpg"), 5)
    pipeline, place = Pipeline(), torch.device("cuda:1")
    with caplog.at_level(logging.INFO):
        flags.speed_up(pipeline, place)
    wanted = SpeedOptions(offload="group", storage="float8", cache="taylor")
    assert pipeline.calls == [(wanted, place), place]
    assert "80 % of the parameters in float8" in caplog.text


def test_without_flags_the_model_is_only_moved(without_shape_checker: None) -> None:
    pipeline = Pipeline(switchable=False)
    read().speed_up(pipeline, torch.device("cpu"))
    assert pipeline.calls == [torch.device("cpu")]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ("--offload model", "--offload is for a large video model such as wan2.1"),
        ("--storage-8bit", "--storage-8bit is for a large video model"),
        ("--cache first_block", "--cache is for a large video model"),
        ("--compile", "--compile is for a large video model"),
        ("--attention native", "--attention is for a large video model"),
        ("--tiny-vae taew2_1.safetensors", "--tiny-vae is for a large video model"),
    ],
)
def test_small_model_takes_none(words: str, match: str, without_shape_checker: None) -> None:
    pipeline = Pipeline(switchable=False)
    with pytest.raises(ValueError, match=match):
        read(*words.split()).speed_up(pipeline, torch.device("cpu"))
    assert pipeline.calls == []


def test_flags_that_do_not_fit(without_shape_checker: None) -> None:
    with pytest.raises(ValueError, match="--offload leaf brings weights to a GPU, got --device cpu"):
        read("--offload", "leaf").speed_up(Pipeline(), torch.device("cpu"))
    with pytest.raises(ValueError, match="compile does nothing beside cache='pyramid'"):
        read("--compile", "--cache", "pyramid").speed_up(Pipeline(), torch.device("cpu"))
    with pytest.raises(ValueError, match="--offload must be one of none, model, group, leaf, got 'disk'"):
        read("--offload", "disk")


def test_commands_that_load_a_model_have_them() -> None:
    assert issubclass(Generate, SpeedFlags) and issubclass(Reconstruct, SpeedFlags)


def test_tiny_vae_decodes_for_a_reconstructor_of_frames(tmp_path: Path, without_shape_checker: None) -> None:
    tiny = TinyVideoVAE(width=2)
    tiny.save_pretrained(tmp_path)
    reader = torch.nn.Identity()
    pipeline = Pipeline()
    pipeline.backbone.spec = tiny.spec
    pipeline.ldrm = DecodedReconstructor(SimpleNamespace(decode=None), reader)
    read("--tiny-vae", str(tmp_path)).speed_up(pipeline, torch.device("cpu"))
    assert isinstance(pipeline.ldrm.decoder, TinyVideoVAE) and pipeline.ldrm.reconstructor is reader
    pipeline.backbone.spec = LatentSpec(48, 4, 16)
    with pytest.raises(ValueError, match="must have the latents of the backbone"):
        read("--tiny-vae", str(tmp_path)).speed_up(pipeline, torch.device("cpu"))
    with pytest.raises(ValueError, match="which reads latents: nothing has to be decoded"):
        pipeline.ldrm = reader
        read("--tiny-vae", str(tmp_path)).speed_up(pipeline, torch.device("cpu"))
    with pytest.raises(FileNotFoundError, match="none.safetensors"):
        read("--tiny-vae", str(tmp_path / "none.safetensors")).speed_up(pipeline, torch.device("cpu"))
