"""Modules and models on disk and on the Hub: safetensors and JSON, loaded strictly."""

from diff4splat.hub.cached import cached_folder, cached_weights_bytes
from diff4splat.hub.headers import TensorInfo, WeightsHeader, read_safetensors_header
from diff4splat.hub.modules import HubModule, load_state, read_config, save_module, weights_hash
from diff4splat.hub.push import Pushable, push_folder
from diff4splat.hub.resolve import cached_commit, list_bundled, resolve_file, resolve_pretrained

__all__ = [
    "HubModule",
    "Pushable",
    "TensorInfo",
    "WeightsHeader",
    "cached_commit",
    "cached_folder",
    "cached_weights_bytes",
    "list_bundled",
    "load_state",
    "push_folder",
    "read_config",
    "read_safetensors_header",
    "resolve_file",
    "resolve_pretrained",
    "save_module",
    "weights_hash",
]
