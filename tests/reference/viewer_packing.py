"""Reader of the player's bytes, written from their description and sharing nothing with the writer."""

import math
import zlib

import numpy as np


def unpack(header: dict, payload: bytes) -> dict[str, np.ndarray]:
    """Arrays by name, plus `motion` [time, gaussian, 9] in physical units, zero at the first time."""
    data = zlib.decompress(payload, wbits=-15)
    place, arrays = 0, {}
    for entry in header["arrays"]:
        count = header["moving"] if entry["name"] == "logSteps" else header["count"]
        values = np.zeros((count, entry["channels"]))
        for channel in range(entry["channels"]):
            words = [0] * count
            for byte in range(entry["bits"] // 8):
                for gaussian in range(count):
                    words[gaussian] += data[place] << (8 * byte)
                    place += 1
            if entry["bits"] == 32:
                values[:, channel] = np.array(words, dtype=np.uint32).view(np.float32)
            else:
                values[:, channel] = entry["minimum"][channel] + entry["step"] * np.array(words)
        arrays[entry["name"]] = values
    arrays["means"] += header["origin"]
    num_times, moving = len(header["times"]), header["moving"]
    levels = np.zeros((num_times, moving, 9), dtype=int)
    for channel in range(9):
        for time in range(1, num_times):
            low, high = data[place : place + moving], data[place + moving : place + 2 * moving]
            place += 2 * moving
            for gaussian in range(moving):
                word = low[gaussian] + 256 * high[gaussian]
                residual = -(word + 1) // 2 if word % 2 else word // 2
                expected = levels[time - 1, gaussian, channel]
                if header["prediction"] == 2:
                    expected += expected - (levels[time - 2, gaussian, channel] if time > 1 else 0)
                levels[time, gaussian, channel] = (expected + residual + 32768) % 65536 - 32768
    assert place == len(data)
    motion = np.zeros((num_times, header["count"], 9))
    for gaussian in range(moving):
        steps = [math.exp(arrays["logSteps"][gaussian, 0])] * 3
        steps += [header["rotationStep"]] * 3 + [header["stretchStep"]] * 3
        motion[:, gaussian] = levels[:, gaussian] * np.array(steps)
    arrays["motion"] = motion
    return arrays
