"""Loops in float64 for the watermark: what a key stands for, the pattern, a marked frame, the score."""

import hashlib
import math
import zlib

import numpy as np


def stream(key: str, size: int) -> bytes:
    """SHAKE-256 of the scheme's name and the key."""
    return hashlib.shake_256(b"diff4splat watermark 1\0" + key.encode()).digest(size)


def bit(data: bytes, index: int) -> int:
    """Bits of a stream, the highest of each byte first."""
    return data[index // 8] >> (7 - index % 8) & 1


def chips(key: str, payload: int) -> tuple[list[tuple[int, int]], list[int], list[bool]]:
    """Row and column, sign, and whether it says presence, of each of the 1,024 chips of a tile.

    The stream holds 8 bytes per chip to order them by, a bit per chip for signs, a byte per chip for
    places, and code books: 4 symbols of 12 bits, 128 chips each.
    """
    head = 8 * 1024 + 128 + 1024
    data = stream(key, head + 4 * 4096 * 128 // 8)
    ranks = [int.from_bytes(data[8 * chip : 8 * chip + 8], "little") for chip in range(1024)]
    order = sorted(range(1024), key=lambda chip: ranks[chip])
    places = []
    for chip in range(1024):
        byte = data[8 * 1024 + 128 + chip]
        places.append((8 * (chip // 32) + 2 + byte % 4, 8 * (chip % 32) + 2 + byte // 16 % 4))
    signs, presence = [0] * 1024, [False] * 1024
    for chip in order[:512]:
        signs[chip] = 2 * bit(data[8 * 1024 :], chip) - 1
        presence[chip] = True
    number = payload + ((zlib.crc32(payload.to_bytes(4, "little")) % 65536) << 32)
    for symbol in range(4):
        value = number >> (12 * symbol) & 4095
        for member in range(128):
            sign = 2 * bit(data[head:], (symbol * 4096 + value) * 128 + member) - 1
            signs[order[512 + 128 * symbol + member]] = sign
    return places, signs, presence


def pattern(key: str, payload: int) -> np.ndarray:
    """p = c * g / rms: a difference of Gaussians of 2 and 4 pixels at each chip, on a torus of 256 pixels."""
    places, signs, _ = chips(key, payload)
    tile = np.zeros((256, 256))
    for (row, column), sign in zip(places, signs, strict=True):
        for sigma, weight in ((2.0, 1.0), (4.0, -1.0)):
            # Pixels further off than half a tile hold nothing that float64 can tell.
            rows = (np.arange(256) - row + 128) % 256 - 128
            columns = (np.arange(256) - column + 128) % 256 - 128
            down, right = (np.exp(-(offsets**2) / (2 * sigma**2)) for offsets in (rows, columns))
            tile += sign * weight * np.outer(down, right) / (2 * math.pi * sigma**2)
    return tile / math.sqrt((tile**2).mean())


def blur(picture: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian that ends at three standard deviations; the pixels of the border go on beyond it."""
    radius = round(3 * sigma)
    weights = [math.exp(-(offset**2) / (2 * sigma**2)) for offset in range(-radius, radius + 1)]
    height, width = picture.shape
    result = np.zeros_like(picture)
    for row in range(height):
        for column in range(width):
            for i, down in enumerate(weights):
                for j, right in enumerate(weights):
                    r = min(max(row + i - radius, 0), height - 1)
                    c = min(max(column + j - radius, 0), width - 1)
                    result[row, column] += down * right * picture[r, c]
    return result / sum(weights) ** 2


def embed(frame: np.ndarray, key: str, payload: int, strength: float) -> np.ndarray:
    """x' = x + s a p / 255, with a = N_3 * min(0.4 + 0.35 sigma_3, 2.3)."""
    _, height, width = frame.shape
    luma = 255 * (0.2126 * frame[0] + 0.7152 * frame[1] + 0.0722 * frame[2])
    contrast = np.sqrt(np.maximum(blur(luma**2, 3.0) - blur(luma, 3.0) ** 2, 0))
    amplitude = blur(np.minimum(0.4 + 0.35 * contrast, 2.3), 3.0)
    part = pattern(key, payload)[np.ix_(np.arange(height) % 256, np.arange(width) % 256)]
    part = part / max(1.0, math.sqrt((part**2).mean()))
    return np.clip(frame + strength * amplitude * part / 255, 0, 1)


def residual(frames: np.ndarray) -> np.ndarray:
    """Differences of Gaussians over what is usual around them, clipped, summed over frames; and again."""
    total = np.zeros(frames.shape[-2:])
    for frame in frames:
        luma = 255 * (0.2126 * frame[0] + 0.7152 * frame[1] + 0.0722 * frame[2])
        found = blur(luma, 2.0) - blur(luma, 4.0)
        total += np.clip(found / (np.sqrt(blur(found**2, 6.0)) + 1), -1.5, 1.5)
    return np.clip(total / (np.sqrt(blur(total**2, 8.0)) + 1e-3), -1.5, 1.5)


def score(residual: np.ndarray, key: str, shift: tuple[int, int]) -> float:
    """z = sum s a / sqrt(sum a^2) over the chips that say presence, a summed over the tiles."""
    places, signs, presence = chips(key, 0)
    agreement = energy = 0.0
    height, width = residual.shape
    for (row, column), sign, counts in zip(places, signs, presence, strict=True):
        if not counts:
            continue
        found = 0.0
        for r in range((row + shift[0]) % 256, height, 256):
            for c in range((column + shift[1]) % 256, width, 256):
                found += residual[r, c]
        agreement += sign * found
        energy += found**2
    return agreement / math.sqrt(energy)
