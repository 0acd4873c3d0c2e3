"""Flags that say how videos are marked as generated, the same for every command that writes one."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, arg

from diff4splat.cli.errors import naming

if TYPE_CHECKING:
    from diff4splat.assets import Watermark
    from diff4splat.gaussians import DeformableGaussianField

__all__ = ["KEY_VARIABLE", "MarkFlags", "watermark_key"]

KEY_VARIABLE = "DIFF4SPLAT_WATERMARK_KEY"
"""Environment variable with the key of watermarks, where none is given."""


def watermark_key(given: str | None) -> str:
    """The key to mark or look with: the one given, that of the environment, or the public one.

    Args:
        given: What `--watermark-key` or `--key` says; None where nothing.

    Returns:
        The key.
    """
    from diff4splat.assets import PUBLIC_KEY

    return given or os.environ.get(KEY_VARIABLE) or PUBLIC_KEY


@dataclass(frozen=True, kw_only=True)
class MarkFlags:
    """Flags about marks in videos, a base for commands.

    Args:
        no_watermark: Leave out the invisible watermark that says that a video is generated.
        watermark_key: Key of the watermark. When omitted, the environment variable DIFF4SPLAT_WATERMARK_KEY,
            which other users of the machine do not see, or a public key, with which anybody finds the mark.
        certificate: Sign the videos with C2PA content credentials: a file with your certificate and those
            above it, PEM. Needs c2pa-python (pip install 'diff4splat[c2pa]').
        private_key: The private key of the certificate, PEM.
    """

    no_watermark: Annotated[bool, FlagCreatePairsOff] = False
    watermark_key: Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")] = None
    certificate: Annotated[Path | None, arg(metavar="FILE.pem", help_behavior_hint="")] = None
    private_key: Annotated[Path | None, arg(metavar="FILE.pem", help_behavior_hint="")] = None

    def check_marks(self) -> None:
        """Refuse flags that do not go together, and certificates that cannot be used, before any work.

        Raises:
            ValueError: If they do not go together, or cannot be read or used.
        """
        if self.no_watermark and self.watermark_key is not None:
            raise ValueError("--watermark-key is for a watermark, got --no-watermark, too.")
        if (self.certificate is None) != (self.private_key is None):
            got = "--private-key" if self.certificate is None else "--certificate"
            raise ValueError(f"--certificate and --private-key go together, got {got} alone.")
        if self.certificate is not None and self.private_key is not None:
            from diff4splat.assets import check_signer

            with naming("--certificate and --private-key cannot be used", self.certificate):
                check_signer(certificate=self.certificate, private_key=self.private_key)

    def watermark_for(self, field: "DeformableGaussianField") -> "Watermark | None":
        """The watermark of a scene's videos.

        Args:
            field: The scene.

        Returns:
            A mark that carries the number of the scene; None with `--no-watermark`.
        """
        from diff4splat.assets import Watermark, scene_payload

        if self.no_watermark:
            return None
        return Watermark(key=watermark_key(self.watermark_key), payload=scene_payload(field))

    def sign(self, videos: Sequence[Path], field: "DeformableGaussianField") -> None:
        """Sign videos with content credentials, where the flags ask for them.

        Args:
            videos: Files that are written already.
            field: The scene, which may know the model that made it.
        """
        if self.certificate is None or self.private_key is None:
            return
        from diff4splat.assets import sign_file

        model = field.metadata.get("model")
        for video in videos:
            sign_file(
                video,
                certificate=self.certificate,
                private_key=self.private_key,
                model=model if isinstance(model, str) else None,
            )

    def say(self, names: Sequence[str]) -> str:
        """What has been done to the videos, for the summary.

        Args:
            names: Names of the files that can carry a watermark; none for a video of depth.

        Returns:
            One or two sentences.
        """
        from diff4splat.assets import PUBLIC_KEY

        signed = "" if self.certificate is None else "Content credentials are signed into the videos."
        if not names:  # depth
            return "\n".join(filter(None, ["Depth carries no watermark.", signed]))
        files = " and ".join(names)
        is_are = "is" if len(names) == 1 else "are"
        if self.no_watermark:
            words = f"{files} {is_are} not marked as generated, as --no-watermark asks."
        else:
            whose = "the public key" if watermark_key(self.watermark_key) == PUBLIC_KEY else "your key"
            words = f"{files} {is_are} marked as generated, by an invisible watermark with {whose}:"
            words += " diff4splat detect-watermark FILE finds it."
        return "\n".join(filter(None, [words, signed]))
