import math

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from diff4splat.assets import load_ply, save_ply
from diff4splat.gaussians import Gaussians

COUNT = 13


def random_gaussians(degree: int = 2, dtype: torch.dtype = torch.float32) -> Gaussians:
    generator = torch.Generator().manual_seed(2)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64).to(dtype)

    return Gaussians(
        normal(COUNT, 3),
        torch.nn.functional.normalize(normal(COUNT, 4), dim=-1),
        normal(COUNT, 3).exp(),
        normal(COUNT).sigmoid(),
        normal(COUNT, (degree + 1) ** 2, 3),
    )


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "scene.ply"
    save_ply(random_gaussians(), path)
    return path


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 4])
def test_an_independent_reader_finds_every_value_where_it_belongs(tmp_path, degree):
    gaussians, path = random_gaussians(degree), tmp_path / "scene.ply"
    save_ply(gaussians, path)
    ply = PlyData.read(path)
    assert (ply.text, ply.byte_order) == (False, "<")
    vertex = ply["vertex"]
    number = (degree + 1) ** 2 - 1
    assert [item.name for item in vertex.properties] == [
        *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"),
        *(f"f_rest_{index}" for index in range(3 * number)),
        *("opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
    ]
    assert {item.val_dtype for item in vertex.properties} == {"f4"}
    for row in range(COUNT):
        for axis in range(3):
            assert vertex["xyz"[axis]][row] == gaussians.means[row, axis]
            assert vertex["n" + "xyz"[axis]][row] == 0
            assert vertex[f"scale_{axis}"][row] == pytest.approx(
                math.log(gaussians.scales[row, axis]), rel=1e-6, abs=1e-7
            )
            assert vertex[f"f_dc_{axis}"][row] == gaussians.harmonics[row, 0, axis]
            for index in range(number):
                assert (
                    vertex[f"f_rest_{axis * number + index}"][row]
                    == gaussians.harmonics[row, 1 + index, axis]
                )
        for axis in range(4):
            assert vertex[f"rot_{axis}"][row] == gaussians.quaternions[row, axis]
        opacity = float(gaussians.opacities[row])
        assert vertex["opacity"][row] == pytest.approx(math.log(opacity / (1 - opacity)), rel=1e-5)


@pytest.mark.parametrize("degree", [0, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_round_trip(tmp_path, degree, dtype):
    gaussians, path = random_gaussians(degree, dtype), tmp_path / "scene.ply"
    save_ply(gaussians, path)
    loaded = load_ply(path)
    for name in ("means", "quaternions", "scales", "opacities", "harmonics"):
        actual, expected = getattr(loaded, name), getattr(gaussians, name).double()
        assert actual.dtype == torch.float32
        tolerance = 1e-3 if dtype == torch.float16 and name == "quaternions" else 3e-7  # they get normalised
        torch.testing.assert_close(actual.double(), expected, rtol=1e-6, atol=tolerance)


def rewritten(path, vertices, **options):
    element = PlyElement.describe(vertices, "vertex")
    others = options.pop("others", [])
    PlyData([*others, element], **options).write(path)
    return path


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_any_order_of_properties_without_normals_and_among_others(tmp_path, path, byte_order):
    expected = load_ply(path)
    vertices = PlyData.read(path)["vertex"].data
    names = [name for name in reversed(vertices.dtype.names) if not name.startswith("n")]
    table = np.zeros(
        COUNT, dtype=[("label", "u1"), *((name, "f8" if name == "y" else "f4") for name in names)]
    )
    for name in names:
        table[name] = vertices[name]
    for axis in range(4):
        table[f"rot_{axis}"] *= 3.0  # unit only after normalising
    other = PlyElement.describe(np.zeros(3, dtype=[("a", "i2"), ("b", "f8")]), "camera")
    rewritten(path, table, others=[other], byte_order=byte_order, comments=["by another program"])
    loaded = load_ply(path)
    for name in ("means", "scales", "opacities", "harmonics"):
        assert torch.equal(getattr(loaded, name), getattr(expected, name))
    torch.testing.assert_close(loaded.quaternions, expected.quaternions, rtol=0, atol=2e-7)


def test_opacities_of_nothing_and_all_stay_finite(tmp_path):
    gaussians, path = random_gaussians(), tmp_path / "scene.ply"
    gaussians.opacities[:2] = torch.tensor([0.0, 1.0])
    save_ply(gaussians, path)
    logits = PlyData.read(path)["vertex"]["opacity"][:2]
    np.testing.assert_allclose(logits, [-16.6355, 16.6355], atol=1e-3)
    torch.testing.assert_close(load_ply(path).opacities[:2], torch.tensor([0.0, 1.0]), rtol=0, atol=1e-7)


def test_large_logits_of_other_programs_are_read(path):
    vertices = PlyData.read(path)["vertex"].data.copy()
    vertices["opacity"][:2] = [-800.0, 800.0]
    loaded = load_ply(rewritten(path, vertices))
    assert loaded.opacities[:2].tolist() == [0.0, 1.0]
    loaded.validate()


def test_provenance_is_one_comment_line_each_whatever_it_holds(path):
    values = {"prompt": "a dog\nend_header\nelement vertex 9", "seed": 3, "ü": "ß"}
    save_ply(random_gaussians(), path, provenance=values)
    comments = PlyData.read(path).comments
    import json

    found = {}
    for comment in comments:
        if comment.startswith("{"):
            found |= json.loads(comment)
    assert found == values
    assert load_ply(path).num_gaussians == COUNT
    with pytest.raises(ValueError, match="provenance"):
        save_ply(random_gaussians(), path, provenance={"path": path})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-1], "truncated"),
        (lambda data: data[:300], "header has no end"),
        (lambda data: b"", "not a PLY"),
        (lambda data: b"PK\x03\x04" + data, "not a PLY"),
        (lambda data: data.replace(b"binary_little_endian", b"ascii"), "is damaged"),
        (lambda data: data.replace(b"binary_little_endian", b"binary_mixed"), "must be a PLY of format"),
        (lambda data: data.replace(b"vertex 13", b"vertex 1000000000000"), "truncated: 1000000000000"),
        (lambda data: data.replace(b"vertex 13", b"vertex " + b"9" * 4000), "must have a count"),
        (lambda data: b"ply\nformat ascii 1.0\nelement vertex 3\nend_header\n", "no vertices with prop"),
        (lambda data: data.replace(b"vertex 13", b"vertex 999999999999999999"), "truncated"),
        (lambda data: data.replace(b"vertex 13", b"vertex -1"), "must have a count"),
        (lambda data: data.replace(b"vertex 13", b"vertex 0"), "no vertices"),
        (lambda data: data.replace(b"element vertex", b"element vortex"), "no element vertex"),
        (lambda data: data.replace(b"scale_1", b"skale_1"), "lack scale_1"),
        (lambda data: data.replace(b"f_rest_3\n", b"e_rest_3\n"), "f_rest must have"),
        (lambda data: data.replace(b"f_rest_3\n", b"f_rest_99\n"), "lack f_rest_3"),
        (
            lambda data: data.replace(b"property float x", b"property list uchar int x"),
            "cannot have the property",
        ),
        (lambda data: data.replace(b"property float nx", b"property float x"), "names a property twice"),
        (
            lambda data: data.replace(b"element vertex 13", b"element chunk 1\nelement vertex 13"),
            "compressed",
        ),
        (lambda data: data.replace(b"comment axes", b"commend axes"), "header line"),
        (lambda data: data.replace(b"format binary_little_endian 1.0\n", b""), "no format"),
    ],
)
def test_damaged_files_are_named(path, change, words):
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ValueError, match=words) as caught:
        load_ply(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("degree", [0, 3])
def test_a_text_file_holds_the_same(tmp_path, degree):
    path = tmp_path / "scene.ply"
    save_ply(random_gaussians(degree), path)
    expected, vertices = load_ply(path), PlyData.read(path)["vertex"].data.copy()  # not mapped to the file
    other = PlyElement.describe(np.zeros(3, dtype=[("a", "i2"), ("b", "f8")]), "camera")
    rewritten(path, vertices, others=[other], text=True)
    assert b"format ascii 1.0" in path.read_bytes()
    loaded = load_ply(path)
    for name in ("means", "quaternions", "scales", "opacities", "harmonics"):
        torch.testing.assert_close(getattr(loaded, name), getattr(expected, name), rtol=1e-6, atol=1e-7)
    text = path.read_bytes()
    for change, words in (
        (text[:-300], "truncated|damaged"),
        (text.replace(b"vertex 13", b"vertex 1000000000000"), "do not fit"),
        (text.replace(b"vertex 13", b"vertex 14"), "13 of"),
    ):
        path.write_bytes(change)
        with pytest.raises(ValueError, match=words):
            load_ply(path)


@pytest.mark.parametrize("dtype", ["f8", "f4"])
def test_other_types_and_further_properties(tmp_path, path, dtype):
    expected, vertices = load_ply(path), PlyData.read(path)["vertex"].data.copy()  # not mapped to the file
    fields = [*((name, dtype) for name in vertices.dtype.names), ("filter_3D", "f8"), ("label", "i4")]
    table = np.zeros(COUNT, dtype=fields)
    for name in vertices.dtype.names:
        table[name] = vertices[name]
    loaded = load_ply(rewritten(path, table))
    for name in ("means", "quaternions", "scales", "opacities", "harmonics"):
        assert torch.equal(getattr(loaded, name), getattr(expected, name))
    if dtype == "f8":
        table["x"][5] = 1e300
        with pytest.raises(ValueError, match="1 centres that are not finite"):
            load_ply(rewritten(path, table))


def test_what_is_invalid_can_be_left_out(path):
    vertices, expected = PlyData.read(path)["vertex"].data.copy(), load_ply(path)
    vertices["z"][1] = np.nan
    vertices["opacity"][2:4] = [np.nan, np.inf]
    vertices["scale_0"][7] = -np.inf
    with pytest.raises(
        ValueError, match=r"1 centres .*, 1 opacities .*, 1 scales .* 13 Gaussians \(invalid="
    ):
        load_ply(rewritten(path, vertices))
    loaded = load_ply(path, invalid="drop")
    kept = [0, *range(3, 7), *range(8, 13)]
    assert torch.equal(loaded.means, expected.means[kept]) and loaded.opacities[1] == 1
    vertices["x"] = np.nan
    with pytest.raises(ValueError, match="no Gaussian of the file is left"):
        load_ply(rewritten(path, vertices), invalid="drop")


@pytest.mark.parametrize(
    ("name", "value", "words"), [("x", np.nan, "not finite"), ("f_rest_5", np.inf, "not finite")]
)
def test_values_that_are_not_finite_are_named(path, name, value, words):
    vertices = PlyData.read(path)["vertex"].data.copy()
    vertices[name][3] = value
    with pytest.raises(ValueError, match=words):
        load_ply(rewritten(path, vertices))


def test_zero_quaternions_are_named(path):
    vertices = PlyData.read(path)["vertex"].data.copy()
    for axis in range(4):
        vertices[f"rot_{axis}"][[2, 5]] = 0
    with pytest.raises(ValueError, match="2 quaternions that are zero or not finite, in a file of 13"):
        load_ply(rewritten(path, vertices))


def test_refuses_batches_and_nothing(tmp_path):
    gaussians = random_gaussians()
    names = ("means", "quaternions", "scales", "opacities", "harmonics")
    with pytest.raises(ValueError, match="batch"):
        save_ply(Gaussians(*(getattr(gaussians, name)[None] for name in names)), tmp_path / "scene.ply")
    with pytest.raises(ValueError, match="at least one"):
        save_ply(gaussians.select([]), tmp_path / "scene.ply")
    gaussians.scales[0, 0] = -1.0
    with pytest.raises(ValueError, match="scales"):
        save_ply(gaussians, tmp_path / "scene.ply")
    assert [*tmp_path.iterdir()] == []
