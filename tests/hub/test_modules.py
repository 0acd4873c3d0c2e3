"""Saving and strict loading."""

import copy
import json
import pickle
from pathlib import Path

import pytest
import torch
from hub.parts import Affine
from safetensors.torch import load_file, save_file
from torch import nn

from diff4splat.files import read_safetensors
from diff4splat.hub import (
    HubModule,
    load_state,
    read_config,
    resolve_pretrained,
    save_module,
    weights_hash,
)


class Derived(Affine):
    """Passes other arguments up than it was given."""

    def __init__(self, half: int = 2) -> None:
        super().__init__(2 * half)


class Heir(Affine):
    """Inherits the constructor."""


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    Affine(5).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_round_trip(tmp_path: Path) -> None:
    module = Affine(5, gains=(0.5,), name="x", options={"a": 1})
    module.save_pretrained(tmp_path / "deep" / "model")
    assert sorted(path.name for path in (tmp_path / "deep" / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    loaded = Affine.from_pretrained(tmp_path / "deep" / "model")
    assert not loaded.training
    assert loaded.config == module.config == {"width": 5, "gains": [0.5], "name": "x", "options": {"a": 1}}
    for name, tensor in module.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_config_holds_what_the_caller_gave() -> None:
    assert Affine().config == {"width": 3, "gains": [1.0, 2.0], "name": None, "options": None}
    assert Derived(7).config == {"half": 7}
    assert Heir(7).config["width"] == 7


def test_config_is_a_copy() -> None:
    options = {"a": 1}
    module = Affine(options=options)
    options["a"] = 2
    module.config["options"]["a"] = 3
    assert module.config["options"] == {"a": 1}
    assert copy.deepcopy(module).config == module.config


def test_derived_round_trip(tmp_path: Path) -> None:
    Derived(7).save_pretrained(tmp_path)
    assert Derived.from_pretrained(tmp_path).first.in_features == 14


def test_constructor_with_open_arguments_is_refused() -> None:
    with pytest.raises(TypeError, match="must name its arguments to be saved, got \\*kwargs"):

        class Open(HubModule):
            def __init__(self, **kwargs: int) -> None:
                super().__init__()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_small_and_loaded_wide(tmp_path: Path, dtype) -> None:
    module = Affine(5)
    module.save_pretrained(tmp_path, dtype=dtype)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["first.weight"].dtype == dtype
    assert stored["count"].dtype == torch.int64
    loaded = Affine.from_pretrained(tmp_path)
    assert loaded.first.weight.dtype == torch.float32
    assert torch.equal(loaded.first.weight, module.first.weight.to(dtype).float())
    assert torch.equal(loaded.count, module.count)
    assert module.first.weight.dtype == torch.float32


def test_loading_leaves_the_random_state_alone(saved: Path) -> None:
    before = torch.get_rng_state()
    Affine.from_pretrained(saved)
    assert torch.equal(torch.get_rng_state(), before)


def test_saving_replaces_and_leaves_no_litter(saved: Path) -> None:
    module = Affine(7)
    module.save_pretrained(saved)
    assert torch.equal(Affine.from_pretrained(saved).first.weight, module.first.weight)
    assert len(list(saved.iterdir())) == 2


def test_failed_write_keeps_the_old_model(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def fail(path) -> None:
        assert Path(path).stat().st_size
        raise OSError("disk full")

    monkeypatch.setattr("diff4splat.files.flush", fail)
    with pytest.raises(OSError, match="disk full"):
        Affine(7).save_pretrained(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    class Holder(HubModule):
        def __init__(self, part: nn.Module) -> None:
            super().__init__()

    with pytest.raises(TypeError, match="config value 'part' must be JSON"):
        Holder(nn.Linear(2, 2)).save_pretrained(tmp_path)
    with pytest.raises(TypeError, match="config value 'a' must be JSON"):
        save_module({"a": float("nan")}, {}, tmp_path)
    with pytest.raises(ValueError, match="must not begin with an underscore, got '_a'"):
        save_module({"_a": 1}, {}, tmp_path)
    with pytest.raises(ValueError, match="dtype must be a floating-point type, got torch.int8"):
        save_module({}, {}, tmp_path, dtype=torch.int8)
    assert list(tmp_path.iterdir()) == []


def test_class_and_arguments_must_fit(saved: Path) -> None:
    with pytest.raises(ValueError, match="config.json describes a Affine, not a Derived"):
        Derived.from_pretrained(saved)
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({**config, "depth": 2}))
    with pytest.raises(
        ValueError, match=r"arguments that Affine does not know: \['depth'\]; known: \['width'"
    ):
        Affine.from_pretrained(saved)


def test_config_that_builds_nothing(saved: Path) -> None:
    (saved / "config.json").write_text('{"width": -1}')
    with pytest.raises(ValueError, match="config.json does not build a Affine"):
        Affine.from_pretrained(saved)


def test_long_lists_of_misfits_are_cut_and_values_must_be_finite(saved: Path) -> None:
    module = Affine(5)
    with pytest.raises(ValueError, match="missing: .*; and [0-9]+ more") as caught:
        load_state(module, {})
    assert "\n" not in str(caught.value)
    state = load_file(saved / "model.safetensors")
    state["first.bias"][2] = torch.inf
    with pytest.raises(ValueError, match="values of first.bias: expected finite numbers"):
        load_state(module, state)


def test_a_file_is_no_model(saved: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"a bundled name, a folder or a Hub id, got the file"):
        resolve_pretrained(saved / "model.safetensors")


def test_every_misfit_of_the_weights_is_listed(saved: Path) -> None:
    state = load_file(saved / "model.safetensors")
    state["first.bias"] = torch.zeros(4)
    state["count"] = torch.zeros(2)
    state["third.bias"] = state.pop("second.bias")
    module = Affine(5)
    before = copy.deepcopy(module.state_dict())
    with pytest.raises(ValueError, match="weights.safetensors does not fit Affine") as caught:
        load_state(module, state, source="weights.safetensors")
    for line in (
        "missing: second.bias",
        "unexpected: third.bias",
        "shape of first.bias: expected (5,), got (4,)",
        "type of count: expected torch.int64, got torch.float32",
    ):
        assert line in str(caught.value)
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(saved: Path, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(FileNotFoundError, match=f"{name} does not exist"):
        Affine.from_pretrained(saved)


@pytest.mark.parametrize(
    ("text", "message"), [("{", "is not valid JSON"), ("[]", "must hold a JSON object, got list")]
)
def test_damaged_config(saved: Path, text: str, message: str) -> None:
    (saved / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_config(saved)


def test_changed_weights_are_noticed(saved: Path) -> None:
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    read_safetensors(file)  # well formed, but not what was saved
    with pytest.raises(ValueError, match=r"model.safetensors is not the file .*SHA-256 differs"):
        Affine.from_pretrained(saved)


def test_config_without_hash_loads(saved: Path) -> None:
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps({"width": config["width"]}))
    assert Affine.from_pretrained(saved).first.in_features == 5


class Trap:
    """A pickle that would create a file when loaded."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_pickles_are_refused_unopened(tmp_path: Path, protocol: int) -> None:
    file, trap = tmp_path / "model.safetensors", tmp_path / "trap"
    file.write_bytes(pickle.dumps(Trap(str(trap)), protocol=protocol))
    with pytest.raises(ValueError, match=r"model.safetensors is (a pickle|truncated or no safetensors file)"):
        read_safetensors(file)
    assert not trap.exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_refused(tmp_path: Path, zipped: bool) -> None:
    file = tmp_path / "model.safetensors"
    torch.save({"a": torch.zeros(3)}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="is a pickle or torch archive"):
        read_safetensors(file)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(5.0), "b": torch.ones(2, 3)}, file)
    whole = file.read_bytes()
    assert set(read_safetensors(file)) == {"a", "b"}
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="model.safetensors is "):
            read_safetensors(file)


def tampered(whole: bytes, change) -> bytes:
    """The file with its header changed and the announced length kept right."""
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + whole[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["a"].update(shape=[6]),
        lambda header: header["a"].update(data_offsets=[0, 1 << 40]),
        lambda header: header["a"].update(data_offsets=[4, 24]),
        lambda header: header["a"].update(data_offsets=[-4, 20]),
        lambda header: header["a"].update(dtype="F99"),
        lambda header: header["a"].pop("dtype"),
        lambda header: header.pop("b"),
    ],
)
def test_inconsistent_headers_are_refused(tmp_path: Path, change) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.arange(5.0), "b": torch.ones(2, 3)}, file)
    file.write_bytes(tampered(file.read_bytes(), change))
    with pytest.raises(ValueError, match="model.safetensors is truncated or damaged"):
        read_safetensors(file)


def test_header_that_is_no_json(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes((16).to_bytes(8, "little") + b"x" * 16)
    with pytest.raises(ValueError, match="its header is not JSON"):
        read_safetensors(file)
    file.write_bytes((16).to_bytes(8, "little") + b"{" + b"x" * 15)
    with pytest.raises(ValueError, match="truncated or damaged"):
        read_safetensors(file)


def test_weights_hash_follows_weights_and_names_only(saved: Path, tmp_path: Path) -> None:
    before = weights_hash(tmp_path)
    assert len(before) == 64
    (saved / "config.json").write_text("{}")
    (saved / ".model.0123456789ab.safetensors").write_bytes(b"of a save that was cut off")
    assert weights_hash(tmp_path) == before
    saved.rename(tmp_path / "other")
    assert weights_hash(tmp_path) != before
    assert weights_hash(tmp_path / "other") != before
    with pytest.raises(FileNotFoundError, match="holds no safetensors file"):
        weights_hash(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((5,), 1e300, dtype=torch.float64), "values of first.bias: expected finite numbers"),
        (torch.ones(5, dtype=torch.bool), "type of first.bias: expected torch.float32, got torch.bool"),
        (
            torch.ones(5, dtype=torch.complex64),
            "type of first.bias: expected torch.float32, got torch.complex64",
        ),
    ],
)
def test_weights_that_the_module_cannot_hold_are_refused(saved: Path, value, message) -> None:
    state = load_file(saved / "model.safetensors") | {"first.bias": value}
    with pytest.raises(ValueError, match=message):
        load_state(Affine(5), state)


def test_integers_of_another_width_are_refused(saved: Path) -> None:
    # 2^40 would become 0 in an int32 buffer, and 7 would become true in a boolean one
    module = Affine(5)
    module.count = module.count.int()
    with pytest.raises(ValueError, match="type of count: expected torch.int32, got torch.int64"):
        load_state(module, load_file(saved / "model.safetensors"))


@pytest.mark.parametrize(("value", "dtype"), [(torch.nan, None), (torch.inf, None), (1e6, torch.float16)])
def test_what_loading_would_refuse_is_not_saved(saved: Path, value, dtype) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    module = Affine(5)
    with torch.no_grad():
        module.first.bias[2] = value
    kind = dtype or torch.float32
    with pytest.raises(ValueError, match=f"first.bias must be finite as {kind} to be saved"):
        module.save_pretrained(saved, dtype=dtype)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_name_is_no_type(tmp_path: Path, without_shape_checker) -> None:
    with pytest.raises(
        TypeError, match=r"dtype must be a torch\.dtype such as torch\.float16, got 'float16'"
    ):
        save_module({}, {}, tmp_path, dtype="float16")


def test_constructor_with_positional_only_arguments_is_refused() -> None:
    with pytest.raises(
        TypeError, match="must take its arguments by name to be loaded, got the positional-only width"
    ):

        class Closed(HubModule):
            def __init__(self, width: int, /) -> None:
                super().__init__()


def test_config_nested_beyond_reason_is_damaged(saved: Path) -> None:
    (saved / "config.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="is not valid JSON"):
        read_config(saved)
