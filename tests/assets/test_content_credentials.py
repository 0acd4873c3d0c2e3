import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from assets.certificates import write_chain
from PIL import Image

import diff4splat
from diff4splat.assets import check_signer, load_video, read_credentials, save_video, sign_file


@pytest.fixture
def signer(tmp_path: Path) -> dict[str, Path]:
    return write_chain(tmp_path)


def write(path: Path) -> None:
    """A small file of the kind that its name says."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 22, 34, 3), dtype=np.uint8)
    if path.suffix == ".mp4":
        save_video(torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255, path)
        return
    first, *others = [Image.fromarray(frame) for frame in pixels]
    animated = {"save_all": True, "append_images": others} if path.suffix in (".webp", ".gif") else {}
    first.save(path, **animated)


def pixels_of(path: Path) -> np.ndarray:
    if path.suffix == ".mp4":
        return load_video(path).numpy()
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("suffix", [".mp4", ".png", ".jpg", ".webp", ".gif"])
def test_files_say_that_a_model_made_them_and_look_as_before(tmp_path, signer, suffix):
    path = tmp_path / f"file{suffix}"
    write(path)
    before = pixels_of(path)
    assert read_credentials(path) is None
    sign_file(path, **signer, model="compact")
    found = read_credentials(path)
    assert found["validation_state"] == "Valid"
    assert [each["code"] for each in found.get("validation_status", [])] == ["signingCredential.untrusted"]
    manifest = found["manifests"][found["active_manifest"]]
    assert manifest["title"] == path.name and manifest["signature_info"]["alg"] == "Es256"
    assert "time" not in manifest["signature_info"]  # no timestamp authority was asked
    (actions,) = (each["data"] for each in manifest["assertions"] if each["label"] == "c2pa.actions.v2")
    (action,) = actions["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"].endswith("/digitalsourcetype/trainedAlgorithmicMedia")
    assert action["softwareAgent"] == {"name": "diff4splat", "version": diff4splat.__version__}
    assert action["parameters"] == {"diff4splat.model": "compact"}
    np.testing.assert_array_equal(pixels_of(path), before)


def test_a_change_of_the_file_is_seen(tmp_path, signer):
    path = tmp_path / "picture.png"
    write(path)
    sign_file(path, **signer)
    data = bytearray(path.read_bytes())
    at = data.index(b"IDAT") + 40  # a pixel; the checksum of the chunk is not looked at
    data[at] ^= 1
    path.write_bytes(data)
    found = read_credentials(path)
    assert found["validation_state"] == "Invalid"
    assert "assertion.dataHash.mismatch" in json.dumps(found["validation_status"])


def test_a_failed_signature_leaves_the_file_as_it_was(tmp_path, signer):
    path = tmp_path / "picture.png"
    write(path)
    before, names = path.read_bytes(), sorted(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"certificate and private_key must be able to sign by ES256"):
        sign_file(path, certificate=signer["certificate"], private_key=signer["certificate"])
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"no picture at all")
    with pytest.raises(ValueError, match="damaged.png cannot be signed"):
        sign_file(damaged, **signer)
    assert path.read_bytes() == before and damaged.read_bytes() == b"no picture at all"
    assert sorted(tmp_path.iterdir()) == sorted([*names, damaged])


def test_signers_are_checked_before_they_are_needed(tmp_path, signer):
    check_signer(**signer)
    other = write_chain(tmp_path, "other")
    with pytest.raises(ValueError, match="sign"):
        check_signer(certificate=signer["certificate"], private_key=other["private_key"])
    with pytest.raises(ValueError, match="algorithm must be one of"):
        check_signer(**signer, algorithm="HS256")
    with pytest.raises(ValueError, match="certificate must be a PEM file"):
        check_signer(certificate=Path(__file__), private_key=signer["private_key"])
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        check_signer(certificate=tmp_path / "none.pem", private_key=signer["private_key"])


def test_other_kinds_and_missing_files(tmp_path, signer):
    for call in (lambda path: sign_file(path, **signer), read_credentials):
        with pytest.raises(ValueError, match=r"path must end in \.mp4, .*\.ply"):
            call(tmp_path / "scene.ply")
        with pytest.raises(FileNotFoundError, match=r"none\.png"):
            call(tmp_path / "none.png")


def test_a_missing_library_is_named(tmp_path, signer, monkeypatch):
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ImportError, match=r'pip install "diff4splat\[c2pa\]"'):
        check_signer(**signer)
