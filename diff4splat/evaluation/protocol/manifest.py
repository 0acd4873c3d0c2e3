"""Which clips are asked of a method: the input images, paths and prompts, and where the truth lies."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

from diff4splat.files import atomic_path

__all__ = ["EvaluationClip", "Manifest"]

_FORMAT, _VERSION = "diff4splat-evaluation-manifest", 1
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_LONGEST_NAME = 120
_FASTEST = 1e6
_RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class EvaluationClip:
    """One clip that every method has to make.

    Paths of files are relative to the folder of the manifest.

    Args:
        name: Names the clip, and the video of a method: `<name>.mp4`, or a folder `<name>/` of pictures.
            Letters, digits, ".", "_", "-", and one "/" between scene and trajectory.
        scene: What is shown; clips of one scene are not independent of each other.
        trajectory: Name of the camera path.
        prompt: What the clip is to show; may be empty.
        seed: Seed that the method is to use.
        image: The input image.
        cameras: Cameras of the frames, a file that `diff4splat.cameras.load_cameras` reads.
        reference: Real frames along the same path, a video or a folder of pictures; empty if there are none.
        closed: Whether the last camera is the first one.
        frozen: Whether time is to stand still: only a method with an explicit scene can make such a clip.
    """

    name: str
    scene: str
    trajectory: str
    prompt: str
    seed: int
    image: str
    cameras: str
    reference: str = ""
    closed: bool = False
    frozen: bool = False


@dataclass(frozen=True)
class Manifest:
    """The clips of a protocol.

    On disk it is a JSON object with `"format": "diff4splat-evaluation-manifest"`, `"version": 1`, the
    arguments below under their names, and `clips` as a list of objects with the arguments of
    `EvaluationClip`. What has a default may be left out. Paths have "/" between folders on every system.

    Args:
        name: Name of the protocol.
        clips: The clips, names all different.
        num_frames: Frames of every clip.
        height: Rows of the input images and references, pixels.
        width: Columns, pixels.
        fps: Frames per second that are asked for.
        note: Where it all comes from, and its licence, in words.
    """

    name: str
    clips: tuple[EvaluationClip, ...]
    num_frames: int
    height: int
    width: int
    fps: float
    note: str = ""

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Manifest":
        """Read a manifest, which may be written by hand.

        Args:
            path: JSON file; or the folder that holds it as `manifest.json`.

        Returns:
            A manifest that `validate` accepts. Whether its files exist is asked by `check_files`.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is no manifest, a key is unknown or missing, or a value is not accepted; names
                the file, the clip and the field.
        """
        path = Path(path)
        path = path / "manifest.json" if path.is_dir() else path
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {path}")
        try:
            content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
            manifest = _from_json(content)
            manifest.validate()
        except RecursionError:
            raise ValueError(f"{path}: JSON must be a manifest, got one nested too deeply.") from None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: a manifest must be JSON, got another file: {error}") from error
        except ValueError as error:  # a broken encoding is among them
            raise ValueError(f"{path}: {error}") from error
        return manifest

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the manifest as JSON, whole or not at all; equal manifests give equal bytes.

        Args:
            path: File to write; its folder must exist.

        Raises:
            ValueError: If `validate` refuses it.
            FileNotFoundError: If the folder does not exist.
        """
        self.validate()
        content = {"format": _FORMAT, "version": _VERSION} | asdict(self)
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        with atomic_path(path) as temporary:
            temporary.write_bytes(text.encode())

    @property
    def fingerprint(self) -> str:
        """sha256 of what is asked for, as "sha256:...": clips in any order, frames, size, rate and name.

        The note and the folder in which the manifest lies do not count. The content of the files does not
        either; `digest_files` tells of it.
        """
        content = asdict(self) | {"fps": float(self.fps)}
        del content["note"]
        content["clips"] = sorted(content["clips"], key=lambda clip: str(clip["name"]))
        text = json.dumps(content, sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def validate(self) -> None:
        """Refuse a manifest that no method could be held to.

        Raises:
            ValueError: If a count is not positive, there are no clips, a name is not path-safe, two names are
                the same for some file system or as a file without folders, or a path leaves the folder of
                the manifest; names the clip and the field.
        """
        _check_settings(vars(self))
        if not self.clips:
            raise ValueError("clips must hold at least one clip, got none.")
        for number, clip in enumerate(self.clips):
            with _naming(number, clip.name):
                _check_clip(vars(clip))
        _check_names(clip.name for clip in self.clips)

    def check_files(self, folder: str | os.PathLike[str]) -> None:
        """Make sure that all files of the clips exist.

        Args:
            folder: The folder of the manifest.

        Raises:
            ValueError: If `validate` refuses the manifest.
            FileNotFoundError: If files are missing; lists all of them, each with a clip that needs it.
        """
        self.validate()
        missing: dict[str, str] = {}
        for clip in self.clips:
            for name in ("image", "cameras", "reference"):
                path = getattr(clip, name)
                there = (Path(folder) / path).is_file() or (
                    name != "image" and (Path(folder) / path).is_dir()
                )
                if path and not there:
                    missing.setdefault(path, f"{path} ({name} of clip {clip.name!r})")
        if missing:
            listed = "".join(f"\n  {text}" for text in missing.values())
            raise FileNotFoundError(f"missing in {folder}, {len(missing)} in all:{listed}")

    def digest_files(self, folder: str | os.PathLike[str]) -> str:
        """Sha256 of the content of all files of the clips: whether two folders hold the same protocol.

        Args:
            folder: The folder of the manifest.

        Returns:
            Hexadecimal digits after the word sha256 and a colon.

        Raises:
            ValueError: If `validate` refuses the manifest.
            FileNotFoundError: If files are missing.
        """
        self.check_files(folder)
        digest = hashlib.sha256()
        paths = {path for clip in self.clips for path in (clip.image, clip.cameras, clip.reference) if path}
        for path in sorted(paths):
            whole = Path(folder) / path
            parts = [whole] if whole.is_file() else sorted(whole.rglob("*"))
            for file in parts:
                name = file.relative_to(folder)
                if file.is_file() and not file.name.startswith("."):
                    content = hashlib.sha256(file.read_bytes()).hexdigest()
                    digest.update(f"{name.as_posix()}\0{content}\n".encode())
        return "sha256:" + digest.hexdigest()


def _from_json(content: Any) -> Manifest:
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"format must be {_FORMAT!r}, got {got!r}.")
    if content.get("version") != _VERSION or isinstance(content.get("version"), bool):
        raise ValueError(f"version must be {_VERSION}, got {content.get('version')!r}.")
    values = {key: value for key, value in content.items() if key not in ("format", "version")}
    _check_keys(values, Manifest)
    if not isinstance(values["clips"], list):
        raise ValueError(f"clips must be a list, got {type(values['clips']).__name__}.")
    clips = []
    for number, entry in enumerate(values["clips"]):
        with _naming(number, entry.get("name") if isinstance(entry, dict) else None):
            if not isinstance(entry, dict):
                raise ValueError(f"a clip must be an object, got {type(entry).__name__}.")
            _check_keys(entry, EvaluationClip)
            _check_clip({field.name: field.default for field in fields(EvaluationClip)} | entry)
            clips.append(EvaluationClip(**entry))
    _check_settings({"note": ""} | values)
    return Manifest(**(values | {"clips": tuple(clips), "fps": float(values["fps"])}))


@contextmanager
def _naming(number: int, name: Any) -> Iterator[None]:
    """Say of which clip an error is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"clip {number}{'' if name is None else f' ({name!r})'}: {error}") from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON whose keys are all different; by itself the last one would count."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"a key must stand once, got {next(k for k in keys if keys.count(k) > 1)!r} twice.")
    return content


def _check_keys(values: dict[str, Any], kind: type) -> None:
    known = {field.name: field for field in fields(kind)}
    unknown = [key for key in values if key not in known]
    if unknown:
        raise ValueError(f"keys must be among {', '.join(known)}, got {', '.join(map(repr, unknown))}.")
    missing = [name for name, field in known.items() if field.default is MISSING and name not in values]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be given, got keys {', '.join(values) or 'none'}.")


def _check_settings(values: Mapping[str, Any]) -> None:
    _check_text("name", values["name"])
    _check_text("note", values["note"], empty=True)
    for name in ("num_frames", "height", "width"):
        if type(values[name]) is not int or values[name] < 1:
            raise ValueError(f"{name} must be a whole number, at least 1, got {values[name]!r}.")
    fps = values["fps"]
    if type(fps) not in (int, float) or not 0 < fps <= _FASTEST:
        raise ValueError(f"fps must be a positive number, at most {_FASTEST:g}, got {fps!r}.")


def _check_clip(values: Mapping[str, Any]) -> None:
    for name in ("name", "scene", "trajectory", "image", "cameras"):
        _check_text(name, values[name])
    for name in ("prompt", "reference"):
        _check_text(name, values[name], empty=True)
    if type(values["seed"]) is not int or not 0 <= values["seed"] < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2**63 - 1, got {values['seed']!r}.")
    for name in ("closed", "frozen"):
        if type(values[name]) is not bool:
            raise ValueError(f"{name} must be true or false, got {values[name]!r}.")
    _check_name(values["name"])
    for name in ("image", "cameras", "reference"):
        _check_path(name, values[name])


def _check_name(name: str) -> None:
    parts = name.split("/")
    if len(name) > _LONGEST_NAME or len(parts) > 2 or not all(map(_NAME.fullmatch, parts)):
        raise ValueError(
            f"name must be letters, digits, '.', '_' and '-' with at most one '/', each part beginning with "
            f"a letter or digit and not ending in '.', of at most {_LONGEST_NAME} characters, got {name!r}."
        )
    if any(part.lower().split(".")[0] in _RESERVED for part in parts):
        raise ValueError(f"name must not be one that Windows keeps for devices, got {name!r}.")


def _check_text(name: str, value: Any, *, empty: bool = False) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a text, got {value!r}.")
    if not (value or empty):
        raise ValueError(f"{name} must not be empty.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} must be a text that UTF-8 can hold, got {value!r}.") from None


def _check_path(name: str, path: str) -> None:
    parts = path.split("/") if path else []
    outside = ".." in parts or path.startswith("/") or "\\" in path or _DRIVE.match(path)
    if outside or any(part in ("", ".") for part in parts) or any(ord(letter) < 32 for letter in path):
        raise ValueError(
            f"{name} must be a path inside the folder of the manifest, with '/' between folders and without "
            f"'.', '..' and empty parts, got {path!r}."
        )


def _check_names(names: Iterable[str]) -> None:
    """Names are different also without capitals and with another sign for "/", as files may be named so."""
    owners: dict[str, str] = {}
    seen = set()
    for name in names:
        if name in seen:
            raise ValueError(f"clip {name!r}: name must stand once, got it twice.")
        seen.add(name)
        for spelling in {name.lower(), name.lower().replace("/", "_"), name.lower().replace("/", "-")}:
            owner = owners.setdefault(spelling, name)
            if owner != name:
                raise ValueError(
                    f"clip {name!r}: name must differ from others in more than capitals and '/', '_' or '-', "
                    f"got {owner!r} as well."
                )
