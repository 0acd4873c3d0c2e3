"""C2PA content credentials: a signed statement inside a file that a model made it."""

import base64
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diff4splat.files import atomic_path

__all__ = ["CREDENTIAL_SUFFIXES", "check_signer", "read_credentials", "sign_file"]

CREDENTIAL_SUFFIXES = {
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
}
"""How files end that can carry content credentials, and what C2PA calls them."""

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for what a trained model made."""

_ALGORITHMS = ("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "ED25519")
_PEM_MOST = 1 << 20
_PIXEL = (  # a grey PNG
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


def sign_file(
    path: str | os.PathLike[str],
    *,
    certificate: str | os.PathLike[str],
    private_key: str | os.PathLike[str],
    model: str | None = None,
    algorithm: str = "ES256",
    timestamp_url: str | None = None,
) -> None:
    """Put content credentials into a file, in its place: made by a model, with this program, signed by you.

    The manifest has one action, `c2pa.created`, whose source is `trainedAlgorithmicMedia`, and names
    diff4splat, its version and the model. Any change of the file after that, also a conversion, breaks or
    drops the credentials: they complement the watermark, which survives that but proves nothing about who
    made it. Nothing is sent anywhere unless there is a `timestamp_url`.

    Args:
        path: File to sign: mp4, png, jpg, webp or gif; replaced by the signed one, whole or not at all.
        certificate: PEM file with the signer's certificate, then those above it. It must be for signing
            (key usage digital signature, extended key usage e-mail protection or document signing).
        private_key: PEM file with its private key, without a password.
        model: What made the content, such as the name of the model.
        algorithm: ES256, ES384, ES512, PS256, PS384, PS512 or ED25519, as the key is.
        timestamp_url: Address of a timestamp authority, which is asked while signing; none when omitted.

    Raises:
        ImportError: If c2pa-python is missing.
        FileNotFoundError: If a file is missing.
        ValueError: If the file is of another kind, or cannot be signed with this certificate and key.
    """
    kind = _kind(Path(path))
    with (
        _signer(certificate, private_key, algorithm, timestamp_url) as signer,
        Path(path).open("rb") as source,
        atomic_path(path) as temporary,
        temporary.open("w+b") as target,
    ):
        _sign(signer, _manifest(Path(path).name, kind, model), kind, source, target)


def read_credentials(path: str | os.PathLike[str]) -> Mapping[str, Any] | None:
    """The content credentials of a file and whether they hold, as the C2PA library reports them.

    Args:
        path: File of a kind that `sign_file` takes.

    Returns:
        The manifests as JSON values. Their `validation_state` is "Trusted", "Valid" (the file is as it was
        signed, by somebody unknown) or "Invalid" (it was changed). None if the file has no credentials.

    Raises:
        ImportError: If c2pa-python is missing.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind or damaged.
    """
    c2pa, kind = _c2pa(), _kind(Path(path))
    with Path(path).open("rb") as source, _offline(c2pa) as context:
        try:
            with c2pa.Reader(kind, source, context=context) as reader:
                return json.loads(reader.json())
        except c2pa.C2paError.ManifestNotFound:
            return None
        except c2pa.C2paError as error:
            raise ValueError(f"{path} has no content credentials that can be read: {error}") from error


def check_signer(
    *,
    certificate: str | os.PathLike[str],
    private_key: str | os.PathLike[str],
    algorithm: str = "ES256",
) -> None:
    """Refuse a certificate and key that cannot sign, by signing a picture of one pixel in memory.

    Args:
        certificate: As in `sign_file`.
        private_key: As in `sign_file`.
        algorithm: As in `sign_file`.

    Raises:
        ImportError: If c2pa-python is missing.
        FileNotFoundError: If a file is missing.
        ValueError: If they cannot sign.
    """
    pixel = base64.b64decode(_PIXEL)
    with _signer(certificate, private_key, algorithm, None) as signer:
        _sign(signer, _manifest("pixel", "image/png", None), "image/png", io.BytesIO(pixel), io.BytesIO())


def _manifest(title: str, kind: str, model: str | None) -> dict[str, Any]:
    from diff4splat import __version__

    program = {"name": "diff4splat", "version": __version__}
    action: dict[str, Any] = {
        "action": "c2pa.created",
        "digitalSourceType": GENERATED,
        "softwareAgent": program,
    }
    if model is not None:
        action["parameters"] = {"diff4splat.model": model}
    return {
        "claim_generator_info": [program],
        "title": title,
        "format": kind,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}],
    }


@contextmanager
def _signer(
    certificate: str | os.PathLike[str],
    private_key: str | os.PathLike[str],
    algorithm: str,
    timestamp_url: str | None,
) -> Iterator[Any]:
    """A signer of the C2PA library, from files."""
    c2pa = _c2pa()
    if algorithm not in _ALGORITHMS:
        raise ValueError(f"algorithm must be one of {', '.join(_ALGORITHMS)}, got {algorithm!r}.")
    chain, secret = _pem(certificate, "certificate"), _pem(private_key, "private_key")
    info = c2pa.C2paSignerInfo(algorithm.lower(), chain, secret, timestamp_url)
    try:
        signer = c2pa.Signer.from_info(info)
    except c2pa.C2paError as error:
        raise ValueError(
            f"certificate and private_key must be able to sign by {algorithm}: {error}"
        ) from error
    with signer:
        yield signer


def _sign(signer: Any, manifest: dict[str, Any], kind: str, source: Any, target: Any) -> None:
    c2pa = _c2pa()
    with _offline(c2pa) as context:
        try:
            with c2pa.Builder(manifest, context) as builder:
                builder.sign(signer, kind, source, target)
        except c2pa.C2paError as error:
            name = manifest["title"]
            raise ValueError(f"{name} cannot be signed with this certificate and key: {error}") from error


def _offline(c2pa: Any) -> Any:
    """Settings of the C2PA library under which it asks no other machine and adds no thumbnail."""
    settings = {
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
        "builder": {"thumbnail": {"enabled": False}},
    }
    return c2pa.Context.from_dict(settings)


def _pem(path: str | os.PathLike[str], argument: str) -> bytes:
    """A PEM file, which is text and small."""
    with Path(path).open("rb") as file:
        text = file.read(_PEM_MOST + 1)
    if b"-----BEGIN" not in text or len(text) > _PEM_MOST or b"\0" in text:
        raise ValueError(f"{argument} must be a PEM file, which begins with -----BEGIN, got {path}.")
    return text


def _kind(path: Path) -> str:
    if path.suffix.lower() not in CREDENTIAL_SUFFIXES:
        raise ValueError(f"path must end in {', '.join(CREDENTIAL_SUFFIXES)}, got {path}.")
    return CREDENTIAL_SUFFIXES[path.suffix.lower()]


def _c2pa() -> Any:
    try:
        import c2pa
    except ImportError as error:
        raise ImportError('content credentials need c2pa-python: pip install "diff4splat[c2pa]"') from error
    return c2pa
