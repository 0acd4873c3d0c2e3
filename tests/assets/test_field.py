import json
import os
import stat

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from diff4splat.assets import load_field, load_field_cameras, read_field_header, save_field
from diff4splat.cameras import Cameras
from diff4splat.gaussians import DeformableGaussianField, Gaussians

NAMES = ("means", "quaternions", "scales", "opacities", "harmonics")


def random_field(dtype: torch.dtype = torch.float32, scale_space: str = "log") -> DeformableGaussianField:
    generator = torch.Generator().manual_seed(5)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    canonical = Gaussians(
        normal(11, 3), normal(11, 4), normal(11, 3).exp(), normal(11).sigmoid(), normal(11, 4, 3)
    )
    return DeformableGaussianField(
        canonical,
        torch.tensor([0.0, 0.25, 1.0], dtype=dtype),
        normal(3, 11, 3),
        normal(3, 11, 4),
        normal(3, 11, 3),
        scale_space=scale_space,
        metadata={"prompt": 'a "dog" </script>', "seed": 3, "nested": {"list": [1, None, True]}},
    )


def tensors_of(field: DeformableGaussianField) -> list[torch.Tensor]:
    canonical = [getattr(field.canonical, name) for name in NAMES]
    return [*canonical, field.times, field.delta_means, field.delta_quaternions, field.delta_scales]


def some_cameras() -> Cameras:
    pose = torch.eye(4).repeat(5, 1, 1)
    pose[:, 0, 3] = torch.arange(5) / 7
    lens = torch.tensor([[90.0, 0.0, 31.0], [0.0, 91.0, 23.0], [0.0, 0.0, 1.0]]).repeat(5, 1, 1)
    return Cameras(pose, lens, height=47, width=61)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scene.safetensors"
    save_field(random_field(), path, cameras=some_cameras())
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_what_is_loaded_is_what_was_saved_bit_for_bit(tmp_path, dtype, scale_space):
    field = random_field(dtype, scale_space)
    save_field(field, tmp_path / "scene.safetensors")
    loaded = load_field(tmp_path / "scene.safetensors")
    for actual, expected in zip(tensors_of(loaded), tensors_of(field), strict=True):
        assert actual.dtype == dtype
        assert torch.equal(actual, expected)
    assert loaded.scale_space == scale_space
    assert loaded.metadata == field.metadata
    assert load_field_cameras(tmp_path / "scene.safetensors") is None


def test_methods_of_the_field_and_saving_twice_give_the_same_file(tmp_path):
    field = random_field()
    field.save(tmp_path / "first.safetensors")
    DeformableGaussianField.load(tmp_path / "first.safetensors").save(str(tmp_path / "second.safetensors"))
    first, second = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("first", "second"))
    assert len(first) == len(second)
    for name, tensor in load_file(tmp_path / "first.safetensors").items():
        assert torch.equal(load_file(tmp_path / "second.safetensors")[name], tensor)


def test_tensor_names_and_header_stand_for_themselves(path):
    with safe_open(path, framework="np") as file:
        names = {*file.keys()}
        header = {key: json.loads(value) for key, value in file.metadata().items()}
    assert names == {
        *(f"canonical.{name}" for name in NAMES),
        *(f"deltas.{name}" for name in NAMES[:3]),
        "times",
        "cameras.camera_to_world",
        "cameras.intrinsics",
    }
    assert header == read_field_header(path)
    assert header["format"] == "diff4splat-scene"
    assert header["axes"] == "opencv (+x right, +y down, +z forward)"
    assert (header["quaternion"], header["scale"], header["opacity"]) == ("wxyz", "linear", "probability")
    assert header["scale_space"] == "log" and "exp" in header["composition"]
    assert header["sh_degree"] == 1
    assert header["cameras"] == {"height": 47, "width": 61}
    assert header["provenance"]["seed"] == 3


def test_cameras_and_provenance_travel_along(tmp_path, path):
    cameras, expected = load_field_cameras(path), some_cameras()
    assert torch.equal(cameras.camera_to_world, expected.camera_to_world)
    assert torch.equal(cameras.intrinsics, expected.intrinsics)
    assert (cameras.height, cameras.width) == (47, 61)
    save_field(random_field(), path, provenance={"seed": 4, "license": "CC-BY-4.0"})
    metadata = load_field(path).metadata
    assert (metadata["seed"], metadata["license"], metadata["nested"]) == (
        4,
        "CC-BY-4.0",
        {"list": [1, None, True]},
    )


def test_views_of_shared_memory_are_saved(tmp_path):
    field = DeformableGaussianField.from_gaussians(random_field().canonical, torch.tensor([0.0, 1.0]))
    zeros = torch.zeros(1).expand(2, 11, 3)
    shared = DeformableGaussianField(field.canonical, field.times, zeros, field.delta_quaternions, zeros)
    save_field(shared, tmp_path / "scene.safetensors")
    assert torch.equal(load_field(tmp_path / "scene.safetensors").delta_scales, zeros)


@pytest.mark.parametrize("part", [0.0, 0.001, 0.3, 0.99])
def test_truncated_file(path, part):
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(ValueError, match=f"{path.name}.*truncated"):
        load_field(path)


def test_foreign_files(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="nothing.safetensors"):
        load_field(tmp_path / "nothing.safetensors")
    path.write_bytes(os.urandom(5000))
    with pytest.raises(ValueError, match=path.name):
        load_field(path)
    torch.save({"means": torch.zeros(3)}, path)
    with pytest.raises(ValueError, match="pickle"):
        load_field(path)
    for metadata in (None, {"format": "pt"}, {"format": '"other-scene"'}):
        save_file({"means": torch.zeros(3)}, path, metadata)
        with pytest.raises(ValueError, match=f"{path.name}.*diff4splat-scene"):
            load_field(path)


def rewrite(path, *, tensors=None, drop=(), **header):
    """The same file with some tensors or header entries exchanged."""
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata())
    metadata |= {key: json.dumps(value) for key, value in header.items()}
    contents = {
        name: tensor for name, tensor in (load_file(path) | (tensors or {})).items() if name not in drop
    }
    save_file(contents, path, {key: value for key, value in metadata.items() if key not in drop})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": "3.0"}, "version 3.0"),
        ({"version": "9" * 5000}, "version must be"),
        ({"requires": ["wavelets"]}, "requires 'wavelets'"),
        ({"requires": "wavelets"}, "requires must be a list"),
        ({"requires": ["compact"]}, "encodings must be an object"),
        ({"requires": ["compact"], "encodings": {}}, "lacks the tensor canonical.rotation_vectors"),
        ({"version": 1}, "version must be"),
        ({"quaternion": "xyzw"}, "quaternion 'xyzw'"),
        ({"scale_space": "cubic"}, "scale_space"),
        ({"sh_degree": -1}, "sh_degree"),
        ({"sh_degree": 10**9}, "sh_degree"),
        ({"sh_degree": 2}, "canonical.harmonics must have shape"),
        ({"provenance": [1]}, "provenance"),
        ({"drop": ("deltas.scales",)}, "lacks the tensor deltas.scales"),
        ({"drop": ("canonical.means",)}, "lacks the tensor canonical.means"),
        ({"drop": ("sh_degree",)}, "sh_degree"),
        ({"tensors": {"times": torch.zeros(0)}}, "times must have at least one"),
        ({"tensors": {"times": torch.tensor([0.0, 0.5, 0.5])}}, "ascend"),
        ({"tensors": {"times": torch.tensor([0.0, 0.5, 1.5])}}, "ascend"),
        ({"tensors": {"canonical.scales": torch.ones(7, 3)}}, r"canonical.scales must have shape \(11, 3\)"),
        ({"tensors": {"canonical.scales": torch.ones(11)}}, r"canonical.scales must have shape \(11, 3\)"),
        (
            {"tensors": {"canonical.scales": torch.ones(11, 3, dtype=torch.int32)}},
            "canonical.scales must be one of",
        ),
        ({"tensors": {"canonical.scales": -torch.ones(11, 3)}}, "scales must be > 0"),
        ({"tensors": {"canonical.opacities": torch.full((11,), 1.5)}}, "opacities"),
        ({"tensors": {"deltas.means": torch.full((3, 11, 3), torch.nan)}}, "delta_means must be finite"),
    ],
)
def test_damaged_contents_are_named(path, change, words):
    rewrite(path, **change)
    with pytest.raises(ValueError, match=words) as caught:
        load_field(path)
    assert str(path) in str(caught.value)


def test_newer_minor_version_is_read(path):
    rewrite(path, version="1.9", something_new=[1])
    assert load_field(path).num_gaussians == 11


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cameras": {"height": 47}}, "must be"),
        ({"cameras": {"height": 47, "width": 0}}, "must be"),
        ({"drop": ("cameras.intrinsics",)}, "lacks the tensor"),
        ({"tensors": {"cameras.intrinsics": torch.ones(3, 3, 3)}}, "cameras.intrinsics must have shape"),
        ({"tensors": {"cameras.camera_to_world": 2 * torch.eye(4).repeat(5, 1, 1)}}, "camera_to_world"),
    ],
)
def test_damaged_cameras_are_named(path, change, words):
    rewrite(path, **change)
    with pytest.raises(ValueError, match=words):
        load_field_cameras(path)


def test_refuses_what_it_could_not_read_back(tmp_path):
    path, field = tmp_path / "scene.safetensors", random_field()
    with pytest.raises(ValueError, match="provenance"):
        save_field(field, path, provenance={"loss": float("nan")})
    with pytest.raises(ValueError, match="provenance"):
        save_field(field, path, provenance={"path": tmp_path})
    with pytest.raises(ValueError, match="at least one Gaussian"):
        save_field(field.select([]), path)
    cameras = some_cameras()
    batch = Cameras(cameras.camera_to_world[None], cameras.intrinsics[None], height=47, width=61)
    with pytest.raises(ValueError, match="cameras must have no batch axes"):
        save_field(field, path, cameras=batch)
    batch = DeformableGaussianField(
        Gaussians(*(getattr(field.canonical, name)[None] for name in NAMES)),
        field.times,
        field.delta_means[None],
        field.delta_quaternions[None],
        field.delta_scales[None],
    )
    with pytest.raises(ValueError, match="field must have no batch axes"):
        save_field(batch, path)
    field.delta_means[1, 2, 0] = torch.inf
    with pytest.raises(ValueError, match="delta_means"):
        save_field(field, path)
    assert [*tmp_path.iterdir()] == []


def test_file_has_the_rights_of_any_new_file(path):
    other = path.with_name("plain")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
