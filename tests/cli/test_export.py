"""The table of kinds that `diff4splat export` writes."""

from dataclasses import fields
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from diff4splat.cli import main
from diff4splat.cli.export import Export
from diff4splat.cli.exports.kinds import FOLDER, KINDS, ExportKind, find_kind, table_of_kinds

OPTIONS = {field.name for field in fields(Export)} - {"scene", "output", "to"}


@pytest.mark.parametrize("name", KINDS)
def test_a_row_names_a_function_options_and_suffixes_that_exist(name: str) -> None:
    kind = KINDS[name]
    module, _, function = kind.home.partition(":")
    write = getattr(import_module(f"diff4splat.cli.exports.{module}"), function)
    assert list(signature(write).parameters) == ["job"] and set(kind.options) <= OPTIONS
    assert all(suffix == FOLDER or suffix.startswith(".") for suffix in kind.suffixes) and kind.suffixes
    assert set(kind.implied_by or ()) <= set(kind.suffixes)
    assert len(kind.meaning) <= 80 and not kind.meaning.endswith(".")


def test_every_option_is_of_use_to_some_kind() -> None:
    assert {option for kind in KINDS.values() for option in kind.options} == OPTIONS


@pytest.mark.parametrize(
    "suffix", sorted({suffix for kind in KINDS.values() for suffix in kind.suffixes} - {""})
)
def test_a_suffix_means_one_kind_or_says_between_which(suffix: str) -> None:
    holders = [name for name, kind in KINDS.items() if suffix in kind.suffixes]
    try:
        assert find_kind(None, Path("a" + suffix.upper())) in holders
    except ValueError as error:
        assert len(holders) > 1 and str(error).endswith(f"one of {', '.join(holders)}")


def test_suffixes_in_dispute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "one", ExportKind("a:b", (".q", ".r", ".s"), "one", implied_by=(".r", ".s")))
    monkeypatch.setitem(KINDS, "two", ExportKind("a:b", (".q", ".r", ".s"), "two", implied_by=(".s",)))
    assert find_kind(None, Path("a.R")) == "one"
    for suffix in (".q", ".s"):
        with pytest.raises(
            ValueError, match=rf"--to must be given for the output a{suffix}, one of one, two$"
        ):
            find_kind(None, Path("a" + suffix))
    for name in ("a.xyz", "a"):
        with pytest.raises(ValueError, match="--to must be given for the output a.*, one of ply, "):
            find_kind(None, Path(name))


def test_help_has_every_kind_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["export", "--help"]) == 0
    shown = [line.strip() for line in capsys.readouterr().out.splitlines()]
    lines = table_of_kinds().splitlines()
    assert len(lines) == len(KINDS) and set(lines) <= set(shown)
    for line, (name, kind) in zip(lines, KINDS.items(), strict=True):
        assert line.split()[0] == name and line.endswith(kind.meaning)


def test_a_missing_package_is_named_before_the_scene_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = KINDS["ply"]._replace(requires=("a_package_that_is_not_there", "extra"))
    monkeypatch.setitem(KINDS, "ply", row)
    assert main(["export", "no_scene", "-o", str(tmp_path / "a.ply")]) == 2
    assert (
        "--to ply needs a_package_that_is_not_there: pip install 'diff4splat[extra]'"
        in capsys.readouterr().err
    )
