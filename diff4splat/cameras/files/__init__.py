"""Camera paths from and to the files that people have; one file here per family of formats.

World coordinates are never changed: only camera axes are converted, and world-to-camera matrices inverted.
"""

from diff4splat.cameras.files.load import load_cameras
from diff4splat.cameras.files.save import save_cameras

__all__ = ["load_cameras", "save_cameras"]
