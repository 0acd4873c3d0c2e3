"""The scene of truth.py, and its depth and poses as annotators' files hold them, written by hand."""

import io
import zipfile
from pathlib import Path

import numpy as np
import torch
from data.readers.truth import FRAMES, make_truth
from scipy.spatial.transform import Rotation

from diff4splat.data import Recording

TRUTH = make_truth()  # 22 x 34
LARGE = make_truth(33, 51, (45.0, 45.0))  # the same views, half as large again
CUT = (32, 48)  # what is left of LARGE at multiples of 8
FACTOR = 0.37  # what MegaSaM is said to have multiplied metres by


def frames(truth) -> np.ndarray:
    """One colour each, in which red, green and blue differ: frame height width rgb."""
    colors = np.zeros((FRAMES, truth.height, truth.width, 3), np.uint8)
    colors[:] = np.array([[40 * frame + 20, 100, 60] for frame in range(FRAMES)])[:, None, None]
    return colors


def recording(truth=TRUTH, **given) -> Recording:
    """The video alone."""
    video = torch.from_numpy(frames(truth)).permute(0, 3, 1, 2).contiguous()
    return Recording("a scene/left", "made", "MIT", video, **given)


def write_exr(file: Path, values: np.ndarray, channel: str = "Z") -> Path:
    import OpenEXR

    file.parent.mkdir(parents=True, exist_ok=True)
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {channel: np.ascontiguousarray(values)}).write(str(file.absolute()))
    return file


def write_zip(file: Path, members: dict[str, bytes]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def png_bytes(pixels: np.ndarray) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


def save(file: Path, **arrays: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **arrays)
    return file


def cut(values: np.ndarray) -> np.ndarray:
    return values[:, : CUT[0], : CUT[1]]


def megasam_lens() -> np.ndarray:
    """Focal length and the middle of frames before they were cut."""
    return np.array([45.0, 45.0, 51 / 2, 33 / 2])


def prior_disparity() -> np.ndarray:
    """1 / (depth + 1e-6), where depth is 0 in the sky."""
    return (1 / (FACTOR * cut(LARGE.depth) + 1e-6)).astype(np.float32)


def motion_prob() -> np.ndarray:
    """Near 1 where nothing moves; a value for 8 x 8 pixels, of what more than a third of them show."""
    blocks = cut(LARGE.moving).reshape(FRAMES, 4, 8, 6, 8).mean((2, 4))
    return np.where(blocks > 1 / 3, 0.1, 0.93).astype(np.float32)


def scaled_poses() -> np.ndarray:
    poses = TRUTH.camera_to_world.copy()
    poses[:, :3, 3] *= FACTOR
    return poses


def write_reconstruction(folder: Path) -> Path:
    """`reconstructions/<scene>` of MegaSaM."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for pose in scaled_poses():
        inverse = np.linalg.inv(pose)
        rows.append([*inverse[:3, 3], *Rotation.from_matrix(inverse[:3, :3]).as_quat()])  # x y z w
    images = frames(LARGE)[:, : CUT[0], : CUT[1]].transpose(0, 3, 1, 2)[:, ::-1]
    np.save(folder / "images.npy", images)
    np.save(folder / "disps.npy", prior_disparity())
    np.save(folder / "poses.npy", np.array(rows, np.float32))
    np.save(folder / "intrinsics.npy", np.tile(megasam_lens(), (FRAMES, 1)).astype(np.float32))
    np.save(folder / "motion_prob.npy", motion_prob())
    return folder


def write_droid(file: Path) -> Path:
    depths = (1 / prior_disparity()).astype(np.float32)
    return _archive(file, depths)


def write_final(file: Path) -> Path:
    """`<scene>_sgd_cvd_hr.npz`: what has no depth lies at the far limit."""
    far = np.where(cut(LARGE.depth) > 0, FACTOR * cut(LARGE.depth), 1e9)
    with np.errstate(over="ignore"):
        return _archive(file, np.clip(far.astype(np.float16), 1e-3, 1e2).astype(np.float16))


def _archive(file: Path, depths: np.ndarray) -> Path:
    fx, fy, cx, cy = megasam_lens()
    lens = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    images = frames(LARGE)[:, : CUT[0], : CUT[1]]
    return save(file, images=images, depths=depths, intrinsic=lens, cam_c2w=scaled_poses())


def write_vipe(top: Path, name: str = "clip") -> Path:
    """Four folders."""
    inds = np.arange(FRAMES)
    lens = np.array([30.0, 30.0, 17.0, 11.0], np.float32)
    save(top / "pose" / f"{name}.npz", data=TRUTH.camera_to_world[inds].astype(np.float32), inds=inds)
    save(top / "intrinsics" / f"{name}.npz", data=np.tile(lens, (len(inds), 1)), inds=inds)
    (top / "intrinsics" / f"{name}_camera.txt").write_text("".join(f"{index}: PINHOLE\n" for index in inds))
    depth, masks = {}, {}
    for frame in range(FRAMES):
        values = np.where(TRUTH.depth[frame] > 0, TRUTH.depth[frame], np.inf).astype(np.float16)
        scratch = write_exr(top / "scratch.exr", values)
        depth[f"{frame:05d}.exr"] = scratch.read_bytes()
        scratch.unlink()
        masks[f"{frame:05d}.png"] = png_bytes((TRUTH.moving[frame] * 3).astype(np.uint8))
    write_zip(top / "depth" / f"{name}.zip", depth)
    write_zip(top / "mask" / f"{name}.zip", masks)
    (top / "mask" / f"{name}.txt").write_text("3: panel\n")
    return top / "pose" / f"{name}.npz"
