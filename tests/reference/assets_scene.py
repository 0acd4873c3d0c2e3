"""Reader of `scene.safetensors`, written from docs/scene_format.md: numpy in float64, one Gaussian at a time.

It reads the bytes of the file by itself, so that it shares nothing with the package.
"""

import json
import math

import numpy as np

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I16": "<i2", "I8": "i1", "U8": "u1"}


def read_file(path):
    """Header, and arrays by name."""
    data = open(path, "rb").read()
    length = int.from_bytes(data[:8], "little")
    entries = json.loads(data[8 : 8 + length])
    header = {key: json.loads(text) for key, text in entries.pop("__metadata__").items()}
    arrays = {}
    for name, entry in entries.items():
        start, end = (8 + length + place for place in entry["data_offsets"])
        arrays[name] = np.frombuffer(data[start:end], TYPES[entry["dtype"]]).reshape(entry["shape"])
    return header, arrays


class Scene:
    """A file, exact or compact, as numbers of the exact form."""

    def __init__(self, path):
        self.header, self.arrays = read_file(path)
        self.times = self.arrays["times"].astype(np.float64)
        if "compact" in self.header.get("requires", []):
            self.read_compact()
        else:
            for name, values in self.arrays.items():
                setattr(self, name.replace(".", "_"), values.astype(np.float64))

    def value(self, name):
        array = self.arrays[name].astype(np.float64)
        if self.arrays[name].dtype.kind == "f":
            return array
        encoding = self.header["encodings"][name]
        return np.array(encoding["offset"]) + np.array(encoding["step"]) * array

    def read_compact(self):
        self.canonical_means = self.value("canonical.means")
        self.canonical_quaternions = np.array(
            [quaternion(vector) for vector in self.value("canonical.rotation_vectors")]
        )
        self.canonical_scales = np.exp(self.value("canonical.log_scales"))
        self.canonical_opacities = np.clip(self.value("canonical.opacities"), 0, 1)
        count = len(self.canonical_means)
        rows = [self.value("canonical.base_harmonics")]
        if self.header["sh_degree"] > 0:
            rows.append(self.value("canonical.higher_harmonics").reshape(count, -1, 3))
        self.canonical_harmonics = np.concatenate(rows, axis=1)
        self.deltas_means = self.motion("means")
        turns = self.motion("rotation_vectors")
        self.deltas_quaternions = np.array([[quaternion(vector) for vector in row] for row in turns])
        self.deltas_scales = self.motion("scales")

    def motion(self, name):
        """[time, gaussian, 3] from keyframes."""
        count, num_times = len(self.canonical_means), len(self.times)
        bits = self.arrays[f"motion.{name}.keys"]
        values = self.value(f"motion.{name}.values")
        result, place = np.zeros((num_times, count, 3)), 0
        for gaussian in range(count):
            keys = []
            for time in range(num_times):
                flag = gaussian * num_times + time
                if bits[flag // 8] >> (flag % 8) & 1:
                    keys.append((time, values[place]))
                    place += 1
            if keys and keys[0][0] > 0:
                keys.insert(0, (0, np.zeros(3)))
            for (first, start), (last, end) in zip(keys, keys[1:], strict=False):
                for time in range(first, last + 1):
                    share = (self.times[time] - self.times[first]) / (self.times[last] - self.times[first])
                    result[time, gaussian] = start + share * (end - start)
            if keys:
                result[keys[-1][0] :, gaussian] = keys[-1][1]
        assert place == len(values)
        return result

    def at(self, time):
        """Means, unit quaternions and scales of all Gaussians at any time."""
        rows = [self.gaussian_at(index, time) for index in range(len(self.canonical_means))]
        return [np.array(column) for column in zip(*rows, strict=True)]

    def gaussian_at(self, index, time):
        parts = [part[:, index] for part in (self.deltas_means, self.deltas_quaternions, self.deltas_scales)]
        last = len(self.times) - 1
        if time <= self.times[0] or time >= self.times[last]:
            moved, turned, stretched = (part[0 if time <= self.times[0] else last] for part in parts)
        else:
            start = max(number for number in range(last) if self.times[number] <= time)
            share = (time - self.times[start]) / (self.times[start + 1] - self.times[start])
            ends = [(part[start], part[start + 1]) for part in parts]
            moved = ends[0][0] + share * (ends[0][1] - ends[0][0])
            turned = slerp(*ends[1], share)
            stretched = ends[2][0] + share * (ends[2][1] - ends[2][0])
        scale = self.canonical_scales[index]
        if self.header["scale_space"] == "log":
            scale = scale * np.exp(stretched)
        else:
            scale = np.maximum(scale + stretched, scale / 1000)
        product = hamilton(self.canonical_quaternions[index], turned)
        return self.canonical_means[index] + moved, product / np.linalg.norm(product), scale


def quaternion(vector):
    """wxyz of a rotation by |vector| about vector."""
    angle = math.sqrt(sum(part * part for part in vector))
    if angle == 0:
        return np.array([1.0, 0.0, 0.0, 0.0])
    return np.array([math.cos(angle / 2), *(math.sin(angle / 2) / angle * vector)])


def hamilton(p, q):
    return np.array(
        [
            p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3],
            p[0] * q[1] + p[1] * q[0] + p[2] * q[3] - p[3] * q[2],
            p[0] * q[2] - p[1] * q[3] + p[2] * q[0] + p[3] * q[1],
            p[0] * q[3] + p[1] * q[2] - p[2] * q[1] + p[3] * q[0],
        ]
    )


def slerp(start, end, share):
    start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
    cosine = float(start @ end)
    if cosine < 0:
        end, cosine = -end, -cosine
    angle = math.acos(min(cosine, 1.0))
    if angle < 1e-9:
        return start
    return (math.sin((1 - share) * angle) * start + math.sin(share * angle) * end) / math.sin(angle)
