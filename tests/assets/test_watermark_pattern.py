import numpy as np
import pytest
import torch
from reference.assets_watermark import chips, pattern

from diff4splat.assets.watermark_pattern import (
    chip_signs,
    keyed_chips,
    place_chips,
    read_payload,
    watermark_tile,
)


def test_chips_are_those_of_the_loop():
    places, signs, presence = chips("my key", 0xC0FFEE)
    assert keyed_chips("my key").places.tolist() == [256 * row + column for row, column in places]
    assert chip_signs("my key", 0xC0FFEE).tolist() == signs
    assert (keyed_chips("my key").signs != 0).tolist() == presence
    assert keyed_chips("my key").signs[presence].tolist() == np.array(signs)[presence].tolist()


def test_tile_is_that_of_the_loop():
    tile = watermark_tile("my key", 7)
    np.testing.assert_allclose(tile.numpy(), pattern("my key", 7), atol=1e-6)  # the Fourier sum is aliased
    assert float(tile.square().mean()) == pytest.approx(1) and float(tile.mean()) == pytest.approx(
        0, abs=1e-12
    )


def test_what_a_key_stands_for_never_changes():
    """Marks of earlier versions must stay detectable."""
    signs = "".join("+" if sign > 0 else "-" for sign in chip_signs("diff4splat", 1)[:40])
    assert signs == GOLDEN_SIGNS
    assert keyed_chips("diff4splat").places[:6].tolist() == GOLDEN_PLACES


GOLDEN_SIGNS = "-++-++-+--+-++-+++-+---+-----++-++++-+-+"
GOLDEN_PLACES = [1283, 1290, 1300, 1051, 546, 556]


def test_keys_and_payloads_differ():
    assert not torch.equal(watermark_tile("a", 0), watermark_tile("b", 0))
    same = chip_signs("a", 0) == chip_signs("a", 1)
    assert same[keyed_chips("a").signs != 0].all() and not same.all()
    correlation = float((watermark_tile("a", 0) * watermark_tile("b", 0)).mean())
    assert abs(correlation) < 0.1


@pytest.mark.parametrize("payload", [0, 1, 0x7FFFFFFF, 2**32 - 1])
def test_payload_comes_back_from_noisy_chips(payload):
    noise = np.random.default_rng(0).normal(size=1024)
    assert read_payload("key", chip_signs("key", payload) + noise) == payload
    assert read_payload("another key", chip_signs("key", payload) + noise) is None


def test_payload_is_not_read_from_noise():
    generator = np.random.default_rng(1)
    assert all(read_payload("key", generator.normal(size=1024)) is None for _ in range(50))


def test_placed_chips_are_where_they_belong():
    tile = place_chips("key", np.arange(1.0, 1025.0))
    assert tile.shape == (256, 256) and int((tile != 0).sum()) == 1024
    blocks = tile.reshape(32, 8, 32, 8).sum(dim=(1, 3)).flatten()
    assert blocks.tolist() == list(range(1, 1025))
