"""DynamicReplica: any size and lens. The first scene is the left camera, which has tracks."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from data.layouts.files import Written, write_png
from data.layouts.scene import Scene

SPLIT, SEQUENCE = "valid", "009850-3_obj"
NAMES = {side: f"{SPLIT}/{SEQUENCE}_source_{side}" for side in ("left", "right")}


def write(root: Path, *scenes: Scene) -> Written:
    for (side, name), scene in zip(NAMES.items(), scenes, strict=False):
        place, stem = root / name, f"{SEQUENCE}_source_{side}"
        for frame in range(scene.num_frames):
            write_png(place / "images" / f"{stem}-{frame:04d}.png", scene.frames[frame])
            bits = scene.depth[frame].astype(np.float16).view(np.uint16)
            write_png(place / "depths" / f"{stem}_{frame:04d}.geometric.png", bits)
            write_png(place / "masks" / f"{stem}_{frame:04d}.png", scene.moving[frame].astype(np.uint8) * 255)
            if side == "left":
                (place / "trajectories").mkdir(exist_ok=True)
                torch.save(points(scene, frame), place / "trajectories" / f"{frame:06d}.pth")
        (place / "images" / "done.ok").touch()
    write_entries(root / SPLIT, entries(*scenes))
    return Written(root, dict(zip(NAMES.values(), scenes, strict=False)))


def write_entries(folder: Path, listed: Any) -> None:
    with gzip.open(folder / f"frame_annotations_{SPLIT}.jgz", "wt", encoding="utf-8") as file:
        json.dump(listed, file)


def viewpoint(scene: Scene, frame: int, kind: str | None) -> dict[str, Any]:
    """A camera in PyTorch3D's terms: x left, y up, X_camera = X_world R + T, lens in device coordinates."""
    pose, lens = scene.camera_to_world[frame], scene.intrinsics
    turn = pose[:3, :3] @ np.diag([-1.0, -1.0, 1.0])  # columns: the camera's axes left, up, forward
    sides = np.array([scene.width, scene.height]) / 2
    scale = np.full(2, sides.min()) if kind == "ndc_isotropic" else sides
    found = {
        "R": turn.tolist(),
        "T": (-pose[:3, 3] @ turn).tolist(),
        "focal_length": (np.diag(lens)[:2] / scale).tolist(),
        "principal_point": ((sides - lens[:2, 2]) / scale).tolist(),
    }
    return found if kind is None else {**found, "intrinsics_format": kind}


def entries(*scenes: Scene, kind: str | None = "ndc_isotropic") -> list[dict[str, Any]]:
    """What the annotations say: frames of the left and the right camera take turns, and another sequence."""
    listed = []
    count = scenes[0].num_frames
    for frame in [count - 2, *range(count - 2), count - 1]:  # in no order
        for side, scene in zip(("left", "right"), scenes, strict=False):
            place = f"{SEQUENCE}_source_{side}"
            entry: dict[str, Any] = {
                "sequence_name": SEQUENCE,
                "frame_number": frame,
                "frame_timestamp": frame / 30,
                "camera_name": side,
                "image": {
                    "path": f"{place}/images/{place}-{frame:04d}.png",
                    "size": [scene.height, scene.width],
                },
                "depth": {
                    "path": f"{place}/depths/{place}_{frame:04d}.geometric.png",
                    "scale_adjustment": 1.0,
                    "mask_path": None,
                },
                "mask": {"path": f"{place}/masks/{place}_{frame:04d}.png", "mass": 9},
                "viewpoint": viewpoint(scene, frame, kind),
                "meta": None,
                "instance_id_map_path": f"{place}/instance_id_maps/{place}_{frame:04d}.png",
                "flow_forward": {"path": f"{place}/flow_forward/{place}_{frame:04d}.png"},
            }
            if side == "left":
                entry["trajectories"] = {"path": f"{place}/trajectories/{frame:06d}.pth"}
            listed.append(entry)
    return [*listed, {**listed[0], "sequence_name": "another"}]


def points(scene: Scene, frame: int) -> dict[str, torch.Tensor]:
    """What a file of tracks holds."""
    count = scene.points.shape[1]
    return {
        "traj_2d": torch.from_numpy(np.hstack((scene.pixels[frame], np.zeros((count, 1))))).float(),
        "traj_3d_world": torch.from_numpy(scene.points[frame]).float(),
        "verts_inds_vis": torch.from_numpy(scene.visible[frame]),
        "img": torch.from_numpy(scene.frames[frame]),
        "instances": torch.zeros(count),
    }
