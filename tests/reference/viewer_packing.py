"""Reader of the player's bytes, written from their description and sharing nothing with the writer."""

import zlib

import numpy as np


def unpack(header: dict, payload: bytes) -> dict[str, np.ndarray]:
    """Arrays by name, plus `motion` [time, gaussian, 10] in physical units, zero at the first time."""
    data = zlib.decompress(payload, wbits=-15)
    count, place, arrays = header["count"], 0, {}
    for entry in header["arrays"]:
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
                values[:, channel] = entry["minimum"][channel] + entry["step"][channel] * np.array(words)
        arrays[entry["name"]] = values
    num_times, moving = len(header["times"]), header["moving"]
    steps = np.repeat(header["motionSteps"], (3, 4, 3))
    motion = np.zeros((num_times, count, 10))
    for channel in range(10):
        for time in range(1, num_times):
            low, high = data[place : place + moving], data[place + moving : place + 2 * moving]
            place += 2 * moving
            for gaussian in range(moving):
                difference = low[gaussian] + 256 * high[gaussian]
                total = round(motion[time - 1, gaussian, channel] / steps[channel]) + difference
                motion[time, gaussian, channel] = ((total + 32768) % 65536 - 32768) * steps[channel]
    assert place == len(data)
    arrays["motion"] = motion
    return arrays
