"""What the cache of the Hub holds already, without network."""

from pathlib import Path

__all__ = ["cached_folder", "cached_weights_bytes"]


def cached_folder(repository: str, *, revision: str | None = None) -> Path | None:
    """Folder of a repository in the Hub cache; touches no network.

    Args:
        repository: Hub id `owner/name`.
        revision: Branch, tag or commit; the main branch when omitted.

    Returns:
        The folder with what there is of it, perhaps not all files; None if there is nothing.
    """
    from huggingface_hub.constants import HF_HUB_CACHE

    home = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    name = revision or "main"
    reference = home / "refs" / name
    try:
        name = reference.read_text(encoding="utf-8").strip()
    except OSError:  # a commit, or nothing
        pass
    folder = home / "snapshots" / name
    return folder if folder.is_dir() else None


def cached_weights_bytes(repository: str, *, revision: str | None = None, pattern: str = "*") -> int:
    """Bytes of the weights of a repository that the Hub cache holds; touches no network.

    Args:
        repository: Hub id `owner/name`.
        revision: Branch, tag or commit; the main branch when omitted.
        pattern: Names of the files to count, such as `movies_ckpt*`; without folders.

    Returns:
        Bytes of its safetensors files, and of pickles where the repository has them.
    """
    folder = cached_folder(repository, revision=revision)
    if folder is None:
        return 0
    files = (path for suffix in ("safetensors", "pth", "bin") for path in folder.rglob(f"{pattern}.{suffix}"))
    return sum(path.stat().st_size for path in files if path.is_file())
