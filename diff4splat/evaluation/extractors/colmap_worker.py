"""The part of `ColmapPoses` that runs pycolmap, as a program: `python colmap_worker.py FOLDER`.

It runs in a process of its own, so that what pycolmap prints and a crash of it stay there. FOLDER holds
job.json, pictures in images/ and, where there are any, masks in masks/; poses.json is written into it.
Nothing of this package is imported.
"""

import json
import sys
from pathlib import Path
from typing import Any

__all__ = ["main"]


def main(folder: Path) -> None:
    """Read the job, reconstruct, write the poses of the largest reconstruction.

    Args:
        folder: Where job.json is.
    """
    import pycolmap

    job = json.loads((folder / "job.json").read_text())
    pycolmap.set_random_seed(job["seed"])
    database, images = folder / "database.db", folder / "images"
    reader = _filled(pycolmap.ImageReaderOptions(), job["reader"])
    if job["masked"]:
        reader.mask_path = str(folder / "masks")
    pycolmap.extract_features(
        database,
        images,
        camera_mode=pycolmap.CameraMode.SINGLE,
        reader_options=reader,
        extraction_options=_filled(pycolmap.FeatureExtractionOptions(), job["extraction"]),
        device=pycolmap.Device.cpu,
    )
    matching = _filled(pycolmap.FeatureMatchingOptions(), job["matching"])
    verification = _filled(pycolmap.TwoViewGeometryOptions(), job["verification"])
    match = pycolmap.match_exhaustive if job["pairs"] == "exhaustive" else pycolmap.match_sequential
    match(
        database,
        matching_options=matching,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )
    if job["mapper"] == "global":
        options = _filled(pycolmap.GlobalPipelineOptions(), job["mapping"])
        found = pycolmap.global_mapping(database, images, folder, options)
    else:
        options = _filled(pycolmap.IncrementalPipelineOptions(), job["mapping"])
        found = pycolmap.incremental_mapping(database, images, folder, options)
    models = sorted(found.values(), key=lambda model: (-model.num_reg_images(), -model.num_points3D()))
    poses = _poses(models[0]) if models else {}
    (folder / "poses.json").write_text(json.dumps(poses))


def _filled(options: Any, values: dict[str, Any]) -> Any:
    """Options of pycolmap with some of them set; nested ones are dictionaries."""
    for name, value in values.items():
        if isinstance(value, dict):
            _filled(getattr(options, name), value)
        else:
            setattr(options, name, value)
    return options


def _poses(model: Any) -> dict[str, list[list[float]]]:
    """World-to-camera matrices, 3 x 4, by the name of the picture."""
    images = [model.images[number] for number in model.reg_image_ids()]
    return {image.name: image.cam_from_world().matrix().tolist() for image in images}


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file, whose names are not those of other packages
    main(Path(sys.argv[1]))
