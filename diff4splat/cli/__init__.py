"""The command `diff4splat`: a page of help, a registry of commands, and how errors end.

Importing this loads neither torch nor any part of the library: a command's module is imported when it is
called. To add a command, write a frozen dataclass whose fields are its options, with a method `run(console)`,
and add a line to `COMMANDS`, under one word or two. What `run` returns is the exit status; nothing means 0.
"""

import contextlib
import io
import itertools
import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from diff4splat import __version__
from diff4splat.cli.errors import in_words, is_out_of_memory, missing_memory
from diff4splat.cli.stopping import unwind_on_request

__all__ = ["COMMANDS", "GENERATED_FILES", "Command", "main"]

GENERATED_FILES = (
    "scene.safetensors",
    "video.mp4",
    "novel_view.mp4",
    "depth.mp4",
    "overview.jpg",
    "scene.ply",
    "player.html",
)
"""What `diff4splat generate` and `diff4splat reconstruct` write into their output folder."""

USER_ERROR, BUG, INTERRUPTED = 2, 1, 130


class Command(NamedTuple):
    """Where a command lives and what the overview says about it."""

    home: str
    summary: str


COMMANDS: dict[str, Command] = {
    "generate": Command("diff4splat.cli.generate:Generate", "make a moving 3D scene from one photograph"),
    "reconstruct": Command(
        "diff4splat.cli.reconstruct:Reconstruct", "make a scene from a video whose cameras are known"
    ),
    "render": Command("diff4splat.cli.render:Render", "render a scene along any camera path"),
    "edit": Command("diff4splat.cli.edit:Edit", "cut, clean, retime, move or join scenes"),
    "view": Command("diff4splat.cli.view:View", "look at a scene live in the browser"),
    "export": Command("diff4splat.cli.export:Export", "turn a scene into a file for another program"),
    "picture": Command(
        "diff4splat.cli.picture:Picture", "draw a scene: an overview, depth, motion, its path"
    ),
    "inspect": Command(
        "diff4splat.cli.inspect:Inspect", "say what is in a scene, or which model weights are"
    ),
    "trajectory": Command(
        "diff4splat.cli.trajectory:Trajectory", "look at a camera path, draw it, convert it"
    ),
    "detect-watermark": Command(
        "diff4splat.cli.detect_watermark:DetectWatermark", "say whether a video is marked as generated"
    ),
    "evaluate": Command(
        "diff4splat.cli.evaluate:Evaluate", "score a model, or videos of any method, by the paper's tables"
    ),
    "compare": Command("diff4splat.cli.compare:Compare", "say which of two evaluated methods is better"),
    "protocol": Command(
        "diff4splat.cli.protocol:Protocol", "write down the clips that methods are asked for"
    ),
    "held-out": Command("diff4splat.cli.held_out:HeldOut", "measure a model where the truth is known"),
    "models": Command("diff4splat.cli.models:Models", "list what can be run, and what is missing for it"),
    "data list": Command("diff4splat.cli.data_commands.list:List", "say which datasets can be read"),
    "data check": Command(
        "diff4splat.cli.data_commands.check:Check", "say which dataset a folder is, and whether it is sound"
    ),
    "data curate": Command(
        "diff4splat.cli.data_commands.curate:Curate", "make clips of a dataset, and shards of the good ones"
    ),
    "train": Command("diff4splat.cli.train:Train", "train a model by a recipe, stage by stage"),
}

_OVERVIEW = """\
diff4splat {version}: one photograph in, a moving 3D scene out.

A model imagines a short video of the photograph along a camera path, and turns it into one
set of 3D Gaussians and their motion. The scene can then be seen from any side at any time.

usage: diff4splat COMMAND [options]

commands:
{commands}

options for every command:
  -h, --help    what the command does, its options, examples
  --quiet       no progress, no notes; only results and errors
  --debug       on an error, show where in the program it happened
  --version     print the version and leave

examples:
  diff4splat generate photo.jpg --output out/
  diff4splat generate photo.jpg --trajectory forward --prompt "the cup moves left" --output out/
  diff4splat render out/scene.safetensors --trajectory orbit --output orbit.mp4
  diff4splat generate --help

Exit status: 0 done, 2 something about the input (words say what), 129, 130 or 143 stopped, 1 a bug.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words of the command line without the program's name; those of this process when omitted.

    Returns:
        Exit status. 0 means done, 1 a bug, 2 an error in the input, 130 Ctrl-C, 143 a request to end, 129
        that the terminal was closed.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that wait by spinning make a run many times slower where another program is busy.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as with `>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with unwind_on_request(ends_process=arguments is None):
        return _status(list(sys.argv[1:] if arguments is None else arguments))


def _status(words: list[str]) -> int:
    """Run a command line; whatever it raises becomes words and a status."""
    debug, options = False, None
    try:
        call = _read(words)
        debug, options = call.debug, call.options
        return _run(call, words)
    except SystemExit as exit:  # a page of help, or a request to end
        return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except KeyboardInterrupt:
        _complain("interrupted; unfinished files were removed", kind=None)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `diff4splat trajectory ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        if is_out_of_memory(error):
            from diff4splat.cli.forecast import memory_advice

            _complain(f"{missing_memory(error)}: {memory_advice(options)}")
            return USER_ERROR
        if isinstance(error, (ValueError, TypeError, OSError)) or _names_an_extra(error):
            _complain(in_words(error))
            return USER_ERROR
        _complain(f"{type(error).__name__}: {in_words(error)}", kind="unexpected error")
        _complain("run it again with --debug to see where", kind=None)
        return BUG


def _names_an_extra(error: BaseException) -> bool:
    """Whether a package is missing that an extra brings, and the error says how to get it."""
    return isinstance(error, ImportError) and "pip install" in str(error)


class _Call(NamedTuple):
    """A command line that was understood: what `run(console)` is called on, and how."""

    options: Any
    quiet: bool
    debug: bool


def _read(words: list[str]) -> _Call:
    """Understand a command line. Pages of help and the version are printed here, and end the program."""
    from diff4splat.cli.words import SWITCHES, build, split_words

    given = list(itertools.takewhile(lambda word: word in SWITCHES or word == "help", words))
    switches = {SWITCHES.get(word, word) for word in given}
    words = words[len(given) :]
    if "version" in switches or not words:
        _print(f"diff4splat {__version__}\n" if "version" in switches else _overview())
        raise SystemExit(0 if switches & {"version", "help"} else USER_ERROR)
    name, words = _take_name(words, asked_for_help="help" in switches)
    module, _, attribute = COMMANDS[name].home.partition(":")
    command: Any = getattr(import_module(module), attribute)
    parts = split_words(command, words)
    switches |= parts.switches
    if "version" in switches:
        _print(f"diff4splat {__version__}\n")
        raise SystemExit(0)
    if "help" in switches:
        _print(_help_page(name, command))
        raise SystemExit(0)
    try:
        options = build(command, parts)
    except ValueError as error:
        raise ValueError(f"{error}; see diff4splat {name} --help") from None
    return _Call(options, quiet="quiet" in switches, debug="debug" in switches)


def _take_name(words: list[str], *, asked_for_help: bool) -> tuple[str, list[str]]:
    """The command that a line begins with, and the words after it. What a group holds is printed here."""
    first, second = words[0], words[1] if len(words) > 1 else ""
    if first in COMMANDS:
        return first, words[1:]
    if f"{first} {second}" in COMMANDS:
        return f"{first} {second}", words[2:]
    group = {name: command for name, command in COMMANDS.items() if name.startswith(f"{first} ")}
    if group and second in ("", "-h", "--help", "help"):
        _print(f"usage: diff4splat {first} COMMAND [options]\n\n{_summaries(group)}\n")
        raise SystemExit(0 if second or asked_for_help else USER_ERROR)
    if group:
        known = ", ".join(name.partition(" ")[2] for name in group)
        raise ValueError(
            f"{first} must be followed by one of {known}, got {second!r}; see diff4splat {first} --help"
        )
    raise ValueError(f"COMMAND must be one of {', '.join(COMMANDS)}, got {first!r}; see diff4splat --help")


def _run(call: _Call, words: Sequence[str]) -> int:
    from diff4splat.cli.console import Console

    with Console(quiet=call.quiet, command=shlex.join(["diff4splat", *words])) as console:
        status = call.options.run(console)
    return status if isinstance(status, int) else 0


def _help_page(name: str, command: Any) -> str:
    import tyro

    page = io.StringIO()
    with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
        tyro.cli(_own_options_first(command), prog=f"diff4splat {name}", args=["--help"])
    return _wrapped(page.getvalue())


def _own_options_first(command: Any) -> Any:
    """The command with its own options before those of its base, which dataclasses put first."""
    options, own = command.__dataclass_fields__, command.__annotations__
    ordered = {option: options[option] for option in sorted(options, key=lambda option: option not in own)}
    return type(command.__name__, (command,), {"__doc__": command.__doc__, "__dataclass_fields__": ordered})


def _overview() -> str:
    return _OVERVIEW.format(version=__version__, commands=_summaries(COMMANDS))


def _summaries(commands: Mapping[str, Command]) -> str:
    return "\n".join(f"  {name:<16}  {command.summary}" for name, command in commands.items())


def _wrapped(page: str) -> str:
    """Fold the lines of running text that are wider than the terminal; tyro folds the options only."""
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    lines: list[str] = []
    for line in page.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        if line.startswith(("╭", "│", "╰")) or len(line) <= width or indent:
            lines.append(line.rstrip())
        else:
            lines += textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).rstrip() + "\n"


def _complain(message: str, *, kind: str | None = "error") -> None:
    sys.stderr.write(f"diff4splat: {kind}: {message}\n" if kind else f"diff4splat: {message}\n")


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
