"""Named colours: what a caption calls a colour is what the object is painted with."""

__all__ = ["COLORS"]

COLORS = (
    ("red", (0.78, 0.16, 0.13)),
    ("orange", (0.9, 0.48, 0.12)),
    ("yellow", (0.9, 0.78, 0.2)),
    ("green", (0.2, 0.55, 0.22)),
    ("teal", (0.12, 0.55, 0.55)),
    ("blue", (0.16, 0.3, 0.75)),
    ("purple", (0.5, 0.24, 0.62)),
    ("pink", (0.9, 0.55, 0.66)),
    ("brown", (0.45, 0.29, 0.17)),
    ("white", (0.9, 0.89, 0.86)),
    ("grey", (0.5, 0.5, 0.5)),
    ("black", (0.1, 0.1, 0.11)),
)
