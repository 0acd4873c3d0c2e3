"""Scores of frames and prompts."""

import math

import pytest
import torch
from reference import evaluation_distributions as reference

from diff4splat.evaluation import clip_score, clip_scores


def test_scores_are_a_hundred_cosines() -> None:
    frames = torch.tensor([[3.0, 0.0], [1.0, 1.0], [0.0, 2.0], [-5.0, 0.0]])
    scores = clip_scores(frames, torch.tensor([0.5, 0.0]))
    assert scores.dtype == torch.float64
    assert scores.tolist() == pytest.approx([100, 100 / math.sqrt(2), 0, -100])


def test_scores_match_loops_and_do_not_notice_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    frames, text = torch.randn(5, 7, generator=generator), torch.randn(7, generator=generator)
    scores = clip_scores(frames, text)
    expected = [100 * reference.cosine(f, text.double().numpy()) for f in frames.double().numpy()]
    assert scores.tolist() == pytest.approx(expected, rel=1e-10)
    assert clip_score(frames, text) == pytest.approx(sum(expected) / 5)
    lengths = torch.rand(5, 1, generator=generator) + 0.1
    assert clip_scores(lengths * frames, 3 * text).tolist() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(clip_scores(frames.flip(0), text), scores.flip(0))


def test_nothing_is_clamped() -> None:
    """Pitfall: clamped frames, as in the definition, or clamped sets, as in torchmetrics."""
    frames, text = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0]]), torch.tensor([1.0, 0.0])
    assert clip_score(frames, text) == pytest.approx(-100 / 3)  # 33.3 of clamped frames, 0 of a clamped mean


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_agrees_with_torchmetrics_but_for_its_clamp(sign: float) -> None:
    """Its network is ours here: an image has the features of its first pixels."""
    from torchmetrics.multimodal.clip_score import CLIPScore

    texts = {"a cab": torch.tensor([1.0, 2.0, -0.5])}

    class Fake(torch.nn.Module):
        class config:
            text_config = None

        def __init__(self) -> None:
            super().__init__()
            self.anything = torch.nn.Parameter(torch.zeros(1))

        def get_image_features(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels[:, 0, 0, :3]

        def get_text_features(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return sign * torch.stack([list(texts.values())[int(i)] for i in tokens[:, 0]])

    def processor(text=None, images=None, **_: object) -> dict[str, torch.Tensor]:
        if images is not None:
            return {"pixel_values": torch.stack(list(images)).double()}
        tokens = torch.tensor([[list(texts).index(t)] for t in text])
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(1, 256, (5, 3, 7, 11), generator=generator, dtype=torch.uint8)
    metric = CLIPScore(model_name_or_path=lambda: (Fake(), processor))
    metric.update(list(frames), ["a cab"] * 5)
    ours = clip_score(frames[:, 0, 0, :3].double(), sign * texts["a cab"].double())
    assert sign * ours > 10
    assert float(metric.compute()) == pytest.approx(max(ours, 0.0), rel=1e-5)


def test_bad_features_are_named() -> None:
    frames, text = torch.ones(3, 2), torch.ones(2)
    with pytest.raises(
        ValueError, match=r"text_features must have the 2 features of a frame, got shape \(3,\)"
    ):
        clip_scores(frames, torch.ones(3))
    with pytest.raises(ValueError, match="frame_features must be of at least 1 frame"):
        clip_scores(frames[:0], text)
    with pytest.raises(ValueError, match="frame_features must be finite and not zero"):
        clip_scores(frames * torch.tensor([[1.0], [math.nan], [1.0]]), text)
    with pytest.raises(ValueError, match="frame_features must be finite and not zero"):
        clip_scores(frames * torch.tensor([[1.0], [0.0], [1.0]]), text)
    with pytest.raises(ValueError, match="text_features must be finite and not zero"):
        clip_scores(frames, 0 * text)


@pytest.mark.parametrize("shape", [(7,), (5, 7, 1)])
def test_features_that_are_not_one_vector_per_frame_are_refused(shape, without_shape_checker) -> None:
    with pytest.raises(ValueError, match="frame_features must be one vector per frame, got shape"):
        clip_scores(torch.ones(shape), torch.ones(shape[1:]))
