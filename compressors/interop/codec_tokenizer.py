"""A tokenizer of `transformers` around any lossless codec: the ids are its symbols, special tokens come behind them.

>>> from compressors.interop import CodecTokenizer
>>> tokenizer = CodecTokenizer("gzip:level=9", pad_token="<pad>")
>>> tokenizer.decode(tokenizer("any text")["input_ids"])
'any text'

`save_pretrained` writes all that it takes. `AutoTokenizer` opens the folder once this module is imported, or with
`trust_remote_code=True`; either way proxyc has to be installed.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizer

from compressors import registry
from compressors.atomic import write_atomically
from compressors.base import Compressor, check_lossless
from compressors.errors import InputError
from compressors.interop.description import describe, made_of, save_artifact

_ARTIFACT = "codec.pxa"
# What `trust_remote_code` runs. Inside `try`, since `transformers` would tell people to install a package called compressors.
_REMOTE_FILE, _REMOTE_CODE = (
    "tokenization_proxyc.py",
    """try:
    from compressors.interop.codec_tokenizer import CodecTokenizer
except ImportError as error:
    raise ImportError("this tokenizer needs proxyc: pip install 'proxyc[hf]'") from error
""",
)


class CodecTokenizer(PreTrainedTokenizer):
    """`codec`: a Compressor, its command-line form, or what `save_pretrained` wrote of it.

    Text is encoded as UTF-8. Bytes that are not UTF-8 are what Python's `surrogateescape` makes of them, in and out:
    ``data.decode("utf-8", "surrogateescape")``. The names of special tokens in a text are text, unless
    ``split_special_tokens=False``. Symbols of codecs such as gzip decode only as a whole: a part of them raises
    `CorruptStream`. Raises `OneWay` for a codec that cannot decode.
    """

    vocab_files_names: ClassVar[dict[str, str]] = {"artifact_file": _ARTIFACT}
    model_input_names: ClassVar[list[str]] = ["input_ids", "attention_mask"]

    def __init__(
        self, codec: Compressor | str | dict[str, Any] = "bpe", artifact_file: str | None = None, **kwargs: Any
    ) -> None:
        if isinstance(codec, dict):
            self.compressor = made_of(codec, artifact_file)
            self._warn_of_versions(codec["libraries"])
        else:
            self.compressor = registry.parse(codec) if isinstance(codec, str) else codec
        check_lossless(self.compressor)
        kwargs = {"split_special_tokens": True, "clean_up_tokenization_spaces": False} | kwargs
        remote = [f"{_REMOTE_FILE.removesuffix('.py')}.CodecTokenizer", None]
        super().__init__(**kwargs | {"codec": describe(self.compressor), "auto_map": {"AutoTokenizer": remote}})

    def _warn_of_versions(self, saved: dict[str, str]) -> None:
        if saved != (here := self.compressor.library_versions()):
            warnings.warn(
                f"this tokenizer was saved with {saved}, here is {here}: texts may get other ids. Install those versions, "
                "if a model was trained with it",
                stacklevel=4,
            )

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoTokenizer") -> None:
        """Nothing: `save_pretrained` writes the file for `trust_remote_code` in any case."""

    # -- what PreTrainedTokenizer asks for ------------------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Symbols of the codec, without special tokens."""
        return self.compressor.vocab.size

    @cached_property
    def _symbols(self) -> dict[str, int]:
        return {f"<{symbol}>": symbol for symbol in range(self.vocab_size)}

    def get_vocab(self) -> dict[str, int]:
        """Token -> id, special tokens included; symbol n is the token <n>."""
        return self._symbols | self._added_tokens_encoder

    def tokenize(self, text: str, **options: Any) -> list[str]:
        """Tokens of a text. The empty one has symbols, too, of many codecs; transformers 4 would not ask for them."""
        if options.pop("split_special_tokens", self.split_special_tokens):
            return self._tokenize(text)
        return super().tokenize(text, split_special_tokens=False, **options)

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as error:
            raise InputError(f"the text has a lone surrogate at {error.start}, which no bytes stand for") from error
        return [f"<{symbol}>" for symbol in self.compressor.encode(data).tolist()]

    def _convert_token_to_id(self, token: str) -> int | None:
        return self._symbols.get(token)

    def _convert_id_to_token(self, index: int) -> str:
        return f"<{index}>"

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """The text of `tokens`; special tokens stand as their names. Raises `CorruptStream` like the codec."""
        pieces: list[str] = []
        run: list[int] = []  # of symbols, which only together have a meaning
        for token in [*tokens, None]:
            symbol = None if token is None else self._symbols.get(token)
            if symbol is not None:
                run.append(symbol)
                continue
            if run:
                pieces.append(self._decoded(run))
                run = []
            pieces.append(token or "")
        return "".join(pieces)

    def _decoded(self, symbols: list[int]) -> str:
        import numpy as np

        return self.compressor.decode(np.array(symbols, self.compressor.vocab.dtype)).decode("utf-8", "surrogateescape")

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """Write the artifact, if the codec has one, and the file for `trust_remote_code`."""
        folder, prefix = Path(save_directory), f"{filename_prefix}-" if filename_prefix else ""
        write_atomically(folder / _REMOTE_FILE, _REMOTE_CODE.encode())
        written = [str(folder / _REMOTE_FILE)]
        if save_artifact(self.compressor, folder / (prefix + _ARTIFACT)):
            written.append(str(folder / (prefix + _ARTIFACT)))
        return tuple(written)


class _Config(PretrainedConfig):
    """`AutoTokenizer` knows tokenizers by the configuration of a model."""

    model_type = "proxyc-codec"


AutoTokenizer.register(_Config, slow_tokenizer_class=CodecTokenizer, exist_ok=True)

__all__ = ["CodecTokenizer"]
