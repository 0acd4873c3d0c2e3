"""Command lines taken apart, and refused in one sentence that names what the user typed."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
from tyro.conf import FlagCreatePairsOff, Positional, arg

from diff4splat.cli import COMMANDS, main
from diff4splat.cli.errors import in_words, is_out_of_memory
from diff4splat.cli.exports.kinds import KINDS
from diff4splat.cli.words import build, split_words


@dataclass(frozen=True)
class Example:
    source: Annotated[Positional[Path], arg(metavar="SOURCE")]
    to: Literal["left", "right"]
    output: Annotated[Path, arg(aliases=["-o"])] = Path("out")
    num_steps: int | None = None
    scale: float = 1.5
    prompt: str = ""
    loud: Annotated[bool, FlagCreatePairsOff] = False


def read(*words: str) -> Example:
    return build(Example, split_words(Example, words))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a.jpg --to left", Example(Path("a.jpg"), "left")),
        ("--to=right a.jpg -o b --num-steps 3", Example(Path("a.jpg"), "right", Path("b"), 3)),
        ("a.jpg --to left --scale -2e3 --scale=-7", Example(Path("a.jpg"), "left", scale=-7.0)),
        ("a.jpg --to left --prompt --debug", Example(Path("a.jpg"), "left", prompt="--debug")),
        ("a.jpg --to left --prompt --to", Example(Path("a.jpg"), "left", prompt="--to")),
        ("a.jpg --to left --prompt=a=b", Example(Path("a.jpg"), "left", prompt="a=b")),
        ("--to left --quiet -- -a.jpg", Example(Path("-a.jpg"), "left")),
        ("--to left --loud a.jpg", Example(Path("a.jpg"), "left", loud=True)),
    ],
)
def test_words_become_options(words: str, expected: Example) -> None:
    assert read(*words.split()) == expected


def test_switches_are_told_from_values() -> None:
    assert split_words(Example, ["--quiet", "a", "--prompt", "--debug", "-h"]).switches == {"quiet", "help"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--to", "left"], "SOURCE must be given"),
        (["a"], "--to must be given, one of left, right"),
        (["a", "--to", "up"], "--to must be one of left, right, got 'up'"),
        (["a", "b", "--to", "left"], "'b' is one word too many"),
        (["a", "--to", "left", "--sclae", "3"], r"there is no option --sclae \(did you mean --scale\?\)"),
        (["a", "--to", "left", "--zzz=3"], "there is no option --zzz$"),
        (["a", "--to", "left", "--loud=no"], "--loud takes no value, got 'no'"),
        (["a", "--to", "left", "--num-steps", "x"], "--num-steps must be a whole number, got 'x'"),
        (["a", "--to", "left", "--num-steps", "1.5"], "--num-steps must be a whole number, got '1.5'"),
        (["a", "--to", "left", "--scale", "x"], "--scale must be a number, got 'x'"),
        (["a", "--to", "left", "--output"], "--output must have a value, got nothing"),
        (["a", "--to", "left", "-o", "--scale", "2"], "--output must have a value, got the option --scale"),
        (["a", "--to", "left", "-o", "--quiet"], "--output must have a value, got the option --quiet"),
        (["a", "--to", "left", "--output", ""], "--output must not be empty"),
        (["", "--to", "left"], "SOURCE must not be empty"),
    ],
)
def test_what_is_wrong_is_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}"):
        read(*words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("generate", "PHOTO must be given; see diff4splat generate --help"),
        (
            "generate a.jpg --framess 3",
            "there is no option --framess (did you mean --frames?); see diff4splat generate --help",
        ),
        ("inspect a extra", "'extra' is one word too many; see diff4splat inspect --help"),
        (
            "export a -o b --to obj3",
            f"--to must be one of {', '.join(KINDS)}, got 'obj3'; see diff4splat export --help",
        ),
        ("train --scale-steps x", "--scale-steps must be a number, got 'x'; see diff4splat train --help"),
    ],
)
def test_main_says_it_in_one_line(words: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"diff4splat: error: {message}") and shown.err.count("\n") == 1
    assert shown.out == ""


@pytest.mark.parametrize("words", ["help render", "--help render", "render --help", "render a --bogus -h"])
def test_help_of_a_command(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 0
    assert capsys.readouterr().out.startswith("usage: diff4splat render [-h] [OPTIONS] SCENE")


def test_help_and_version_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "usage: diff4splat COMMAND" in capsys.readouterr().out
    assert main(["inspect", "--version"]) == 0
    assert capsys.readouterr().out.startswith("diff4splat 0")
    assert main(["help", "nope"]) == 2


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_on_the_page_of_help_is_known(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*name.split(), "--help"]) == 0
    page = capsys.readouterr().out
    options = set(re.findall(r"--[a-z][a-z0-9-]*", page.split("options\n")[-1]))
    assert "--help" in options
    for option in sorted(options - {"--help"}):
        main([*name.split(), option, "x", "--bogus"])  # so that nothing is run
        assert f"there is no option {option}" not in capsys.readouterr().err, option


def test_help_has_the_options_of_a_command_before_those_it_shares(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("generate", "reconstruct"):
        assert main([name, "--help"]) == 0
        page = capsys.readouterr().out.split("options\n")[-1]
        assert 0 < page.index("--output") < page.index("--gaussians") < page.index("--offload"), name


def test_errors_of_the_library_speak_of_options() -> None:
    assert in_words(ValueError("image must be a file, got b.")) == "PHOTO must be a file, got b."
    assert in_words(ValueError("height must be even, got 3.")) == "--size must be even, got 3."
    assert in_words(ValueError("a.json: height must be even.")) == "a.json: height must be even."
    assert in_words(ValueError("the height must be even.")) == "the height must be even."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."), True),
        (RuntimeError("the moon is full"), False),
    ],
)
def test_too_little_memory_is_recognised(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
