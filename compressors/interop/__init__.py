"""Our compressors in other people's registries: numcodecs and zarr, fsspec, transformers.

`pip install 'proxyc[bridges]'` brings the first three. numcodecs and zarr find the codec by its entry point:
``numcodecs.get_codec({"id": "proxyc", "codec": "zstd:level=19"})``, and ``{"name": "proxyc", "configuration": {"codec":
"zstd:level=19"}}`` among the `codecs` of an array of format 3. fsspec has no entry points for compressions, so
`register_fsspec()` is called once, after which ``fsspec.open("x.pxc", compression="infer")`` reads `.pxc`, `.br` and the
files of plugins. `CodecTokenizer` is a tokenizer for `transformers` (`proxyc[hf]`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compressors.interop.codec_tokenizer import CodecTokenizer
    from compressors.interop.fsspec_files import register_fsspec
    from compressors.interop.numcodecs_codec import Proxyc
    from compressors.interop.zarr_codec import ProxycCodec

_LAZY = {
    "CodecTokenizer": "compressors.interop.codec_tokenizer",
    "Proxyc": "compressors.interop.numcodecs_codec",
    "ProxycCodec": "compressors.interop.zarr_codec",
    "register_fsspec": "compressors.interop.fsspec_files",
}


def __getattr__(name: str) -> Any:
    """Import a bridge when it is first used: each needs another library."""
    if name not in _LAZY:
        raise AttributeError(f"module 'compressors.interop' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)


__all__ = ["CodecTokenizer", "Proxyc", "ProxycCodec", "register_fsspec"]
