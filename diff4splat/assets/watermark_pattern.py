"""What a key stands for: signs of a watermark's chips, and a code for the number that it carries.

Everything is read from one stream of bits, SHAKE-256 of the key, so that it is the same on every machine and
the signs of one key are, to anybody without it, fair and independent coins. The false-positive rate of
`detect_watermark` rests on that and on nothing else.
"""

import hashlib
import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

__all__ = [
    "CHIPS",
    "CHIP_STEP",
    "FINE_SIGMA",
    "PAYLOAD_BITS",
    "TILE",
    "WIDE_SIGMA",
    "KeyedChips",
    "chip_signs",
    "keyed_chips",
    "place_chips",
    "read_payload",
    "watermark_tile",
]

CHIPS, CHIP_STEP = 32, 8
"""Chips per side of a tile, and pixels from one chip to the next."""
TILE = CHIPS * CHIP_STEP
"""Side of the tile that is repeated over the frame, pixels."""
FINE_SIGMA, WIDE_SIGMA = 2.0, 4.0
"""A chip is the difference of two Gaussians of these standard deviations, pixels."""
PAYLOAD_BITS = 32
_SYMBOLS, _SYMBOL_BITS = 4, 12  # 48 bits: the payload and 16 bits that check it
_FIRST, _PLACES = (
    2,
    4,
)  # of the 8 pixels of a chip, its centre takes one of the middle four, in either direction
_NAME = b"diff4splat watermark 1\0"


@dataclass(frozen=True)
class KeyedChips:
    """The chips of a key. Half of them say that it is there, the others spell the payload.

    Args:
        places: Pixel of each chip, as flat index into the tile: somewhere in the middle of its 8 x 8 pixels.
        signs: Sign of each chip, +-1, where it belongs to the presence; 0 elsewhere.
        owners: Symbols of the payload's chips: which chips spell which symbol.
        words: Signs with which those chips spell each value of their symbol, +-1.
    """

    places: Int64[np.ndarray, " chip=1024"]
    signs: Float[np.ndarray, " chip=1024"]
    owners: tuple[Int64[np.ndarray, " member"], ...]
    words: tuple[Float[np.ndarray, "value member"], ...]


@lru_cache(maxsize=8)
def keyed_chips(key: str) -> KeyedChips:
    """Chips of a key.

    Args:
        key: Any text.

    Returns:
        Signs for the presence of a mark, and codebooks for its payload.
    """
    count = CHIPS * CHIPS
    length = count // 2 // _SYMBOLS
    sizes = [8 * count, count // 8, count] + [2**_SYMBOL_BITS * length // 8] * _SYMBOLS
    stream = np.frombuffer(
        hashlib.shake_256(_NAME + key.encode("utf-8", "surrogatepass")).digest(sum(sizes)), np.uint8
    )
    parts = np.split(stream, np.cumsum(sizes)[:-1])
    order = np.argsort(parts[0].view("<u8"), kind="stable")  # a shuffle of the chips
    coins = np.unpackbits(parts[1]).astype(np.float64) * 2 - 1
    signs = np.zeros(count)
    present = order[: count // 2]
    signs[present] = coins[present]
    row, column = np.divmod(np.arange(count), CHIPS)
    row, column = (CHIP_STEP * index + _FIRST for index in (row, column))
    places = (row + parts[2] % _PLACES) * TILE + column + parts[2] // 16 % _PLACES
    owners = tuple(np.split(order[count // 2 :].astype(np.int64), _SYMBOLS))
    words = tuple(
        np.unpackbits(part).reshape(2**_SYMBOL_BITS, length).astype(np.float64) * 2 - 1 for part in parts[3:]
    )
    return KeyedChips(places, signs, owners, words)


def chip_signs(key: str, payload: int) -> Float[np.ndarray, " chip=1024"]:
    """Signs of all chips of a mark: those of its presence and those that spell its payload.

    Args:
        key: Any text.
        payload: Number from 0 to 2**32 - 1.

    Returns:
        +-1 for each chip of the tile.
    """
    chips = keyed_chips(key)
    signs = chips.signs.copy()
    for value, owners, words in zip(_spell(payload), chips.owners, chips.words, strict=True):
        signs[owners] = words[value]
    return signs


def read_payload(key: str, values: Float[np.ndarray, " chip=1024"]) -> int | None:
    """The number that chips spell, if they do.

    Every symbol is the word that correlates best with its chips; the check bits let one wrong reading in
    65,536 pass.

    Args:
        key: Any text.
        values: What was measured at each chip, in any unit.

    Returns:
        Payload, or None where the check fails.
    """
    chips = keyed_chips(key)
    symbols = [
        int((words @ values[owners]).argmax())
        for owners, words in zip(chips.owners, chips.words, strict=True)
    ]
    number = sum(symbol << (_SYMBOL_BITS * index) for index, symbol in enumerate(symbols))
    payload = number & (2**PAYLOAD_BITS - 1)
    return payload if _spell(payload) == symbols else None


@lru_cache(maxsize=8)
def watermark_tile(key: str, payload: int) -> Float[Tensor, "row=256 column=256"]:
    r"""Pattern of a mark, which is repeated over the frame.

    $$p = \frac{c * g}{\operatorname{rms}(c * g)}, \qquad g = \mathcal{N}_{\sigma} - \mathcal{N}_{2\sigma},$$

    with $c$ the chips' signs, one in each 8 x 8 pixels at a place drawn from the key, and $\sigma$ = 2
    pixels, on a torus. There is little in it at low frequencies, which are seen best, and at high ones,
    which codecs drop first; without a lattice it looks like grain.

    Args:
        key: Any text.
        payload: Number from 0 to 2**32 - 1.

    Returns:
        Float64 values with mean square 1 and mean 0. Not to be written to: the result is kept.
    """
    spikes = place_chips(key, chip_signs(key, payload))
    rows = torch.fft.fftfreq(TILE, dtype=torch.float64)[:, None]
    columns = torch.fft.rfftfreq(TILE, dtype=torch.float64)
    square = -2 * math.pi**2 * (rows**2 + columns**2)
    response = (square * FINE_SIGMA**2).exp() - (square * WIDE_SIGMA**2).exp()
    pattern = torch.fft.irfft2(torch.fft.rfft2(spikes) * response, s=(TILE, TILE))
    return pattern / pattern.square().mean().sqrt()


def place_chips(key: str, values: Float[np.ndarray, " chip=1024"]) -> Float[Tensor, "row=256 column=256"]:
    """A tile that is zero except where the chips of a key are.

    Args:
        key: Any text.
        values: One per chip.

    Returns:
        Float64 tile.
    """
    tile = np.zeros(TILE * TILE)
    tile[keyed_chips(key).places] = values
    return torch.from_numpy(tile.reshape(TILE, TILE))


def _spell(payload: int) -> list[int]:
    """Symbols of a payload, the least significant first, with a checksum above it."""
    check = zlib.crc32(payload.to_bytes(4, "little")) & 0xFFFF
    number = payload | check << PAYLOAD_BITS
    return [number >> (_SYMBOL_BITS * index) & (2**_SYMBOL_BITS - 1) for index in range(_SYMBOLS)]
