"""Archives of arrays that were made by nobody well-meaning."""

import io
import struct
import zipfile


def header_of_an_array(shape: tuple[int, ...]) -> bytes:
    """What an .npy of 32-bit floats begins with."""
    words = str({"descr": "<f4", "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(words)) + words.encode()


def damaged_archives() -> dict[str, bytes]:
    """Each with a "depth" that cannot be read, by what is wrong with it."""
    sound = _archive(header_of_an_array((3, 8, 8)) + bytes(range(256)) * 3)
    start = sound.find(b"PK\x01\x02")  # of the list of files at the end
    return {
        "huge": _archive(header_of_an_array((3, 10**6, 10**6)) + bytes(100)),
        "encrypted": _changed(sound, {6: 1, start + 8: 1}),
        "method": _changed(sound, {8: 99, start + 10: 99}),
        "deflated": _changed(sound, {place: sound[place] ^ 255 for place in range(50, 90)}),
    }


def _archive(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("depth.npy", content)
    return buffer.getvalue()


def _changed(content: bytes, values: dict[int, int]) -> bytes:
    changed = bytearray(content)
    for place, value in values.items():
        changed[place] = value
    return bytes(changed)
