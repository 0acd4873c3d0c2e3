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
    "payload_words",
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
_COUNT = CHIPS * CHIPS
_SIZES = (8 * _COUNT, _COUNT // 8, _COUNT)  # bytes for the shuffle of the chips, their signs, their places
_FIRST, _PLACES = 2, 4  # the centre of a chip takes one of the middle four of its 8 pixels, either way
_NAME = b"diff4splat watermark 1\0"


@dataclass(frozen=True)
class KeyedChips:
    """The chips of a key. Half of them say that it is there, the others spell the payload.

    Args:
        places: Pixel of each chip, as flat index into the tile: somewhere in the middle of its 8 x 8 pixels.
        signs: Sign of each chip, +-1, where it belongs to the presence; 0 elsewhere.
        owners: Symbols of the payload's chips: which chips spell which symbol.
    """

    places: Int64[np.ndarray, " chip=1024"]
    signs: Float[np.ndarray, " chip=1024"]
    owners: tuple[Int64[np.ndarray, " member"], ...]


@lru_cache(maxsize=8)
def keyed_chips(key: str) -> KeyedChips:
    """Chips of a key.

    Args:
        key: Any text.

    Returns:
        Where they are, the signs of those that say that it is there, and which spell the payload.
    """
    shuffle, coins, shifts = np.split(_stream(key, sum(_SIZES)), np.cumsum(_SIZES)[:-1])
    order = np.argsort(shuffle.view("<u8"), kind="stable")
    present, spelling = order[: _COUNT // 2], order[_COUNT // 2 :]
    signs = np.zeros(_COUNT)
    signs[present] = _as_signs(coins)[present]
    row, column = (CHIP_STEP * index + _FIRST for index in np.divmod(np.arange(_COUNT), CHIPS))
    places = (row + shifts % _PLACES) * TILE + column + shifts // 16 % _PLACES
    return KeyedChips(places, signs, tuple(np.split(spelling.astype(np.int64), _SYMBOLS)))


@lru_cache(maxsize=2)
def payload_words(key: str) -> Float[np.ndarray, "symbol=4 value=4096 member=128"]:
    """Signs with which the chips of each symbol spell each of its values.

    Args:
        key: Any text.

    Returns:
        +-1.
    """
    length = _COUNT // 2 // _SYMBOLS
    size = _SYMBOLS * 2**_SYMBOL_BITS * length
    coins = _as_signs(_stream(key, sum(_SIZES) + size // 8)[sum(_SIZES) :])
    return coins.reshape(_SYMBOLS, 2**_SYMBOL_BITS, length)


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
    for value, owners, words in zip(_spell(payload), chips.owners, payload_words(key), strict=True):
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
    pairs = zip(keyed_chips(key).owners, payload_words(key), strict=True)
    symbols = [int((words @ values[owners]).argmax()) for owners, words in pairs]
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


def _stream(key: str, size: int) -> np.ndarray:
    """The first bytes of what a key stands for."""
    name = _NAME + key.encode("utf-8", "surrogatepass")
    return np.frombuffer(hashlib.shake_256(name).digest(size), np.uint8)


def _as_signs(coins: np.ndarray) -> np.ndarray:
    return np.unpackbits(coins).astype(np.float64) * 2 - 1
