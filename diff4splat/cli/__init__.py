"""The command `diff4splat`: a page of help, a registry of commands, and how errors end.

Importing this loads neither torch nor any part of the library: a command's module is imported when it is
called. To add a command, write a frozen dataclass whose fields are its options, with a method `run(console)`,
and add a line to `COMMANDS`.
"""

import contextlib
import io
import os
import shutil
import signal
import sys
import textwrap
from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from diff4splat import __version__

__all__ = ["COMMANDS", "GENERATED_FILES", "Command", "main"]

GENERATED_FILES = (
    "scene.safetensors",
    "video.mp4",
    "novel_view.mp4",
    "depth.mp4",
    "scene.ply",
    "player.html",
)
"""What `diff4splat generate` writes into its output folder."""

USER_ERROR, BUG, INTERRUPTED = 2, 1, 130


class Command(NamedTuple):
    """Where a command lives and what the overview says about it.

    `stages` are the words of which one must follow; what comes after it is passed on unread.
    """

    home: str
    summary: str
    stages: tuple[str, ...] = ()


COMMANDS: dict[str, Command] = {
    "generate": Command("diff4splat.cli.generate:Generate", "make a moving 3D scene from one photograph"),
    "render": Command("diff4splat.cli.render:Render", "film a scene along any camera path"),
    "export": Command("diff4splat.cli.export:Export", "turn a scene into a file for another program"),
    "inspect": Command("diff4splat.cli.inspect:Inspect", "say what is in a scene or PLY file"),
    "trajectory": Command("diff4splat.cli.trajectory:Trajectory", "write a camera path to a file"),
    "evaluate": Command("diff4splat.cli.evaluate:Evaluate", "measure a model on scenes it has never seen"),
    "models": Command("diff4splat.cli.models:Models", "list the models that come with the package"),
    "train": Command(
        "diff4splat.cli.train:Train",
        "train the compact model, stage by stage",
        ("clips", "vae", "latents", "ldrm", "dit", "bundle"),
    ),
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

Exit status: 0 done, 2 something about the input (words say what), 130 or 143 stopped, 1 a bug.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Words of the command line without the program's name; those of this process when omitted.

    Returns:
        Exit status: 0 done, 1 a bug, 2 an error in the input, 130 after Ctrl-C, 143 after a request to end.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that wait by spinning make a run many times slower where another program is busy.
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug, words = _take_flag(words, "--debug")
    quiet, words = _take_flag(words, "--quiet")
    if not words or words[0] in ("-h", "--help", "help"):
        _print(_overview())
        return 0 if words else USER_ERROR
    if words[0] == "--version":
        _print(f"diff4splat {__version__}\n")
        return 0
    if words[0] not in COMMANDS:
        _complain(f"COMMAND must be one of {', '.join(COMMANDS)}, got {words[0]!r}; see diff4splat --help")
        return USER_ERROR
    with _termination_as_exit():
        try:
            return _run(words[0], words[1:], quiet=quiet)
        except SystemExit as exit:  # help, an unknown option, or a request to end
            return exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        except KeyboardInterrupt:
            _complain("interrupted; unfinished files were removed", kind=None)
            return INTERRUPTED
        except BrokenPipeError:  # the reader of our output has gone, as in `diff4splat trajectory ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except (ValueError, TypeError, OSError) as error:
            if debug:
                raise
            _complain(_in_words(error))
            return USER_ERROR
        except MemoryError:
            if debug:
                raise
            _complain("out of memory: try fewer frames, or a smaller size")
            return USER_ERROR
        except Exception as error:
            if debug:
                raise
            _complain(f"{type(error).__name__}: {_in_words(error)}", kind="unexpected error")
            _complain("run it again with --debug to see where", kind=None)
            return BUG


def _run(name: str, words: list[str], *, quiet: bool) -> int:
    import tyro

    module, _, attribute = COMMANDS[name].home.partition(":")
    command: Any = getattr(import_module(module), attribute)
    program = f"diff4splat {name}"
    passes_on = bool(words) and words[0] in COMMANDS[name].stages
    if not passes_on and ("-h" in words or "--help" in words):
        page = io.StringIO()
        with contextlib.redirect_stdout(page), contextlib.suppress(SystemExit):
            tyro.cli(command, prog=program, args=["--help"])
        _print(_wrapped(page.getvalue()))
        return 0
    options = (
        command(words[0], tuple(words[1:])) if passes_on else tyro.cli(command, prog=program, args=words)
    )

    from diff4splat.cli.console import Console

    with Console(quiet=quiet) as console:
        options.run(console)
    return 0


def _overview() -> str:
    commands = "\n".join(f"  {name:<12}  {command.summary}" for name, command in COMMANDS.items())
    return _OVERVIEW.format(version=__version__, commands=commands)


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


def _take_flag(words: list[str], flag: str) -> tuple[bool, list[str]]:
    return flag in words, [word for word in words if word != flag]


def _in_words(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _complain(message: str, *, kind: str | None = "error") -> None:
    sys.stderr.write(f"diff4splat: {kind}: {message}\n" if kind else f"diff4splat: {message}\n")


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextlib.contextmanager
def _termination_as_exit() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind the program as Ctrl-C does, so that temporary files go."""

    def leave(signum: int, frame: object) -> None:
        raise SystemExit(128 + signum)

    requests = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    try:
        previous = {request: signal.signal(request, leave) for request in requests}
    except ValueError:  # not in the main thread, where signals cannot be handled
        yield
        return
    try:
        yield
    finally:
        for request, handler in previous.items():
            signal.signal(request, handler)
