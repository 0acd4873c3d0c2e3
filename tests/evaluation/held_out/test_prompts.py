"""Prompts are made from captions of real scenes."""

import pytest

from diff4splat.data import HELD_OUT_SEEDS, sample_scenes
from diff4splat.evaluation.held_out.prompts import direction_prompts


@pytest.mark.parametrize(
    ("caption", "subject"),
    [
        (
            "a large speckled red ball slides to the left and a green box rises, indoors",
            "large speckled red ball",
        ),
        ("the egg does not move", "egg"),
        ("an orange drum turns around under the sky", "orange drum"),
        ("something else", "object"),
    ],
)
def test_subject(caption, subject) -> None:
    assert direction_prompts(caption) == (f"the {subject} moves left", f"the {subject} moves right")


def test_every_caption_has_a_subject_that_it_begins_with() -> None:
    captions = sample_scenes(HELD_OUT_SEEDS[:97], texture_size=8).captions
    for caption in captions:
        subject = direction_prompts(caption)[0].removeprefix("the ").removesuffix(" moves left")
        assert subject != "object"
        assert caption.split(" ", 1)[1].startswith(subject + " ")
        assert len(subject.split()) <= 4, "a size, a pattern, a colour and a noun"
