"""Embeddings by a tiny CLIP, against transformers' own processor and model."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from evaluation.extractors.tiny_networks import SIZE, TOKENS, noise, save_clip, save_vit
from PIL import Image

from diff4splat.evaluation import ClipEmbeddings, background_embeddings
from diff4splat.evaluation.extractors import FrameFeatures, TextImageFeatures

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    save_clip(path)
    return path


@pytest.fixture(scope="module")
def clip(folder: Path) -> ClipEmbeddings:
    return ClipEmbeddings(folder)


def frames(count: int = 5) -> torch.Tensor:
    """Like photographs; 47 x 71 becomes 32 x 48, of which the crop takes the middle 32."""
    coarse = noise(count, 3, 5, 7).float()
    fine = torch.nn.functional.interpolate(coarse, size=(47, 71), mode="bicubic")
    return fine.clamp(0, 255).round().to(torch.uint8)


def test_frames_are_those_of_transformers_with_its_own_processor(folder: Path, clip: ClipEmbeddings) -> None:
    pictures = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in frames()]
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
    )
    pixels = processor(pictures, return_tensors="pt")["pixel_values"]
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    with torch.no_grad():
        seen = model.vision_model(pixel_values=pixels).pooler_output
        expected = model.visual_projection(seen)
    found = clip(frames())
    assert isinstance(clip, TextImageFeatures) and found.shape == (5, 11)
    # one value in six rounds to the other level; frames differ by a hundred times as much
    torch.testing.assert_close(found, expected, atol=0.008, rtol=0)
    assert float((found[0] - found[1]).abs().max()) > 0.8


def test_prompts_are_those_of_the_whole_model(folder: Path, clip: ClipEmbeddings) -> None:
    prompts = ["low", "a b c", ""]
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)(prompts, padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model(**tokens, pixel_values=torch.zeros(1, 3, SIZE, SIZE))
    found = torch.nn.functional.normalize(clip.text(prompts), dim=-1)
    torch.testing.assert_close(found, output.text_embeds, atol=1e-5, rtol=0)


def test_vectors_are_not_normalised(clip: ClipEmbeddings) -> None:
    assert not torch.allclose(clip(frames()).norm(dim=-1), torch.ones(5), atol=0.01)
    assert not torch.allclose(clip.text(["low", "a"]).norm(dim=-1), torch.ones(2), atol=0.01)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_the_batch_size_does_not_matter(folder: Path, clip: ClipEmbeddings, batch_size: int) -> None:
    other = ClipEmbeddings(folder, batch_size=batch_size)
    torch.testing.assert_close(other(frames()), clip(frames()), atol=1e-5, rtol=0)
    prompts = ["low", "a b", "c", "d e f g"]
    torch.testing.assert_close(other.text(prompts), clip.text(prompts), atol=1e-5, rtol=0)


def test_long_prompts_are_cut_and_counted(folder: Path) -> None:
    """Pitfall: what is beyond 77 tokens, or 13 of the tiny model, changes nothing, and nobody notices."""
    extractor = ClipEmbeddings(folder)
    exact = " ".join("a" * (TOKENS - 2))  # begin and end are tokens, too
    assert extractor.text([exact]).shape == (1, 11) and extractor.num_cut_prompts == 0
    with pytest.warns(
        UserWarning, match=f"1 of 2 prompts have more than {TOKENS} tokens.*the longest has 15"
    ):
        found = extractor.text([exact + " b c", "low"])
    assert extractor.num_cut_prompts == 1
    torch.testing.assert_close(found[0], extractor.text([exact])[0])


def test_background_has_no_antialiasing_and_says_so(folder: Path, clip: ClipEmbeddings) -> None:
    background = background_embeddings(folder)
    assert "bicubic without antialiasing" in str(background.spec)
    assert "bicubic with antialiasing" in str(clip.spec)
    assert background.spec.key != clip.spec.key
    rough = noise(2, 3, 97, 131)
    assert float((background(rough) - clip(rough)).abs().max()) > 0.01
    with pytest.raises(TypeError, match="antialias must not be given"):
        background_embeddings(folder, antialias=True)


def test_the_spec_knows_the_weights(folder: Path, clip: ClipEmbeddings, tmp_path: Path) -> None:
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert clip.spec.weights == f"sha256:{digest}"
    assert f"middle {SIZE} x {SIZE}" in clip.spec.preprocessing and clip.spec.licence == "MIT"
    assert ClipEmbeddings(folder).spec == clip.spec
    save_clip(tmp_path, seed=1)
    assert ClipEmbeddings(tmp_path).spec.key != clip.spec.key


def test_a_pickle_is_read_without_running_code(folder: Path, clip: ClipEmbeddings, tmp_path: Path) -> None:
    """Older repositories hold pytorch_model.bin alone."""
    save_clip(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model = transformers.CLIPModel.from_pretrained(folder)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    torch.testing.assert_close(ClipEmbeddings(tmp_path)(frames()), clip(frames()))
    torch.save({"text_projection.weight": np.exp}, tmp_path / "pytorch_model.bin")  # a function, not a tensor
    with pytest.raises(ValueError, match="does not hold the weights of a CLIPModel"):
        ClipEmbeddings(tmp_path)


def test_weights_that_are_missing_are_not_drawn_at_random(folder: Path, tmp_path: Path) -> None:
    """Pitfall: transformers fills what a file lacks with random numbers and warns of it."""
    from safetensors.torch import load_file, save_file

    save_clip(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["visual_projection.weight"]
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1 weights of a CLIPModel, such as visual_projection.weight"):
        ClipEmbeddings(tmp_path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    save_clip(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=f"{tmp_path} does not hold the weights of a CLIPModel"):
        ClipEmbeddings(tmp_path)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    save_vit(tmp_path)
    with pytest.raises(ValueError, match="must hold a model of type 'clip', got 'vit'"):
        ClipEmbeddings(tmp_path)


def test_code_of_a_repository_does_not_run(folder: Path, tmp_path: Path) -> None:
    save_clip(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    tokenizer = {"tokenizer_class": "CLIPTokenizer", "auto_map": {"AutoTokenizer": ["code.Tokens", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (tmp_path / "code.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    ClipEmbeddings(tmp_path)(frames())
    assert not (tmp_path / "ran").exists()


def test_missing_files_say_what_to_do(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            FileNotFoundError, match=r"fetch config\.json, model\.safetensors or .*patch32.*MIT"
        ):
            ClipEmbeddings(source)
    with pytest.raises(FileNotFoundError, match="hf download openai/clip-vit-large-patch14"):
        ClipEmbeddings("openai/clip-vit-large-patch14", local_files_only=True)
    save_clip(tmp_path)
    (tmp_path / "merges.txt").unlink()  # without them words would be spelt letter by letter
    with pytest.raises(FileNotFoundError, match=r"needs tokenizer\.json, or vocab\.json and merges\.txt"):
        ClipEmbeddings(tmp_path)


def test_nothing_and_one_text_are_refused(clip: ClipEmbeddings, folder: Path) -> None:
    with pytest.raises(ValueError, match="frames must be at least one"):
        clip(torch.zeros(0, 3, 5, 7, dtype=torch.uint8))
    with pytest.raises(ValueError, match="prompts must be at least one"):
        clip.text([])
    with pytest.raises(TypeError, match="prompts must be a sequence of texts, got the text 'low'"):
        clip.text("low")
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ClipEmbeddings(folder, batch_size=0)
    assert isinstance(clip, FrameFeatures)
