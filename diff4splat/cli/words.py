"""From the words of a command line to the options of a command; what is wrong is said in one sentence.

tyro draws the pages of help from the same dataclasses. It does not read the words, because it answers a wrong
one with a box of lines, and takes `--prompt --debug` apart.
"""

import dataclasses
import difflib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["SWITCHES", "Words", "build", "split_words"]

SWITCHES = {"-h": "help", "--help": "help", "--version": "version", "--quiet": "quiet", "--debug": "debug"}
"""Options without a value that every command has."""

CommandT = TypeVar("CommandT")

_NUMBERS = {int: "a whole number", float: "a number"}


class Words(NamedTuple):
    """A command line taken apart, before anything in it is judged.

    Args:
        switches: Which of `SWITCHES` are there, by their meaning.
        positional: Words that belong to no option, in order.
        named: Options as written, and their words; None where the line ends instead, "" for options without
            one.
        unknown: Words that look like options and are none.
    """

    switches: set[str]
    positional: list[str]
    named: list[tuple[str, str | None]]
    unknown: list[str]


class _Option(NamedTuple):
    field: dataclasses.Field[Any]
    names: tuple[str, ...]  # none for a positional word
    shown: str
    kind: Any


def split_words(command: type, words: Sequence[str]) -> Words:
    """Tell options, their values, and other words apart; the word after an option is its value.

    Args:
        command: Dataclass of the command.
        words: What stands after the command's name.

    Returns:
        The parts.
    """
    known = {name: option.kind for option in _options(command) for name in option.names}
    parts, rest = Words(set(), [], [], []), list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            parts.positional.extend(rest)
            break
        if word in SWITCHES:
            parts.switches.add(SWITCHES[word])
        elif known.get(name) is bool:
            parts.named.append((name, value))
        elif name in known:
            parts.named.append((name, value if equals else rest.pop(0) if rest else None))
        elif word.startswith("-") and word != "-":
            parts.unknown.append(word)
        else:
            parts.positional.append(word)
    return parts


def build(command: type[CommandT], parts: Words) -> CommandT:
    """The command with its options set; of an option given twice, the last counts.

    Args:
        command: Dataclass of the command.
        parts: What `split_words` gave for it.

    Returns:
        An instance.

    Raises:
        ValueError: If a word is unknown, superfluous, missing or not of the option's kind.
    """
    options = _options(command)
    by_name = {name: option for option in options for name in option.names}
    places = [option for option in options if not option.names]
    if parts.unknown:
        word = parts.unknown[0].partition("=")[0]
        near = difflib.get_close_matches(word, [*by_name, *SWITCHES], n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"there is no option {word}{hint}")
    values: dict[str, Any] = {}
    for option, word in zip(places, parts.positional, strict=False):
        values[option.field.name] = _value(option, word)
    for name, given in parts.named:
        option = by_name[name]
        if option.kind is bool:
            if given:
                raise ValueError(f"{option.shown} takes no value, got {given!r}")
            values[option.field.name] = True
            continue
        if given is None or (option.kind is not str and given in {*by_name, *SWITCHES}):
            got = "nothing" if given is None else f"the option {given}"
            raise ValueError(f"{option.shown} must have a value, got {got}")
        values[option.field.name] = _value(option, given)
    if len(parts.positional) > len(places):
        raise ValueError(f"{parts.positional[len(places)]!r} is one word too many")
    for option in options:
        if option.field.default is dataclasses.MISSING and option.field.name not in values:
            choices = f", one of {', '.join(option.kind)}" if isinstance(option.kind, tuple) else ""
            raise ValueError(f"{option.shown} must be given{choices}")
    return command(**values)


def _options(command: type) -> list[_Option]:
    """The options of a command, from the types and the notes of its fields."""
    from tyro.conf import FlagCreatePairsOff, Positional

    positional, alone = (get_args(marker[str])[1] for marker in (Positional, FlagCreatePairsOff))
    hints = get_type_hints(command, include_extras=True)
    options = []
    for field in dataclasses.fields(command):
        kind: Any = hints[field.name]
        notes: list[Any] = []
        if get_origin(kind) is Annotated:
            kind, *notes = get_args(kind)
        if get_origin(kind) in (Union, types.UnionType):  # of a kind and None
            kind = get_args(kind)[0]
        kind = get_args(kind) if get_origin(kind) is Literal else kind
        named = [note for note in notes if note is not positional and note is not alone]
        if positional in notes:
            metavars = [note.metavar for note in named if note.metavar]
            options.append(_Option(field, (), (*metavars, field.name.upper())[0], kind))
        else:
            long = "--" + field.name.replace("_", "-")
            aliases = [alias for note in named for alias in note.aliases or ()]
            options.append(_Option(field, (long, *aliases), long, kind))
    return options


def _value(option: _Option, word: str) -> Any:
    """A word as what its option holds."""
    if not word and option.field.default != "":
        raise ValueError(f"{option.shown} must not be empty")
    if isinstance(option.kind, tuple):
        if word not in option.kind:
            raise ValueError(f"{option.shown} must be one of {', '.join(option.kind)}, got {word!r}")
        return word
    if option.kind in _NUMBERS:
        try:
            return option.kind(word)
        except ValueError:
            raise ValueError(f"{option.shown} must be {_NUMBERS[option.kind]}, got {word!r}") from None
    return Path(word) if option.kind is Path else word
