"""What a position reads: the vector of its id, and what is made of bytes.

    bags        the mean of the bytes' vectors, each times a learnt vector of its place in the bag (`proxylm.data.bags`)
    merges      a merge is read as the bag of its bytes, plus one vector a merge that starts as zero
    n-grams     the vectors of the hashed 2..n bytes that end here are added (BLT, arXiv 2412.09871, section 3.2.1)

A bag or a merge has the n-grams that end with its last byte and lie inside it, so that all views share the tables.
B rows, T positions, D width, N positions of one kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxylm.config import ModelConfig
from proxylm.data.alphabet import BAG, BYTE_OFFSET, COMP_OFFSET, RAW_SIZE, Alphabet
from proxylm.model.kv_cache import Cache
from proxylm.model.selection import Selection, of_mask

LONGEST_PIECE = 16  # bytes of a merge that are read; of a longer one (a run of blanks) the first
_ODD = 0x9E3779B97F4A7C15 - (1 << 64)  # 2^64 over the golden ratio, as a signed number


class Embeddings(nn.Embedding):
    """ids (B, T) -> (B, T, D)."""

    def __init__(self, config: ModelConfig, alphabet: Alphabet, bags: int = 0) -> None:
        """`bags`: bytes in the largest bag, 0 for none."""
        super().__init__(alphabet.size, config.d_model)
        n_merges = alphabet.n_merges
        size = max(bags, LONGEST_PIECE if n_merges else 0)  # places in the largest bag
        self.places = nn.Parameter(torch.ones(size, config.d_model)) if size else None
        self.ngrams = None
        if config.hash_ngrams:
            self.ngrams = Ngrams(config.hash_ngrams, config.ngram_rows, config.d_model)
        self.pieces: Tensor | None  # (n_merges, LONGEST_PIECE) bytes of each merge, -1 behind the last
        pieces = torch.full((n_merges, LONGEST_PIECE), -1, dtype=torch.int16) if n_merges else None
        self.register_buffer("pieces", pieces)
        nn.init.zeros_(self.weight.data[COMP_OFFSET : COMP_OFFSET + n_merges])  # the ids of merges come first

    def forward(
        self,
        ids: Tensor,
        doc: Tensor | None = None,
        cache: Cache | None = None,
        bags: Tensor | None = None,
        selection: Selection | None = None,
    ) -> Tensor:
        """doc (B, T): n-grams stay within equal neighbouring values. bags (B, T, size): bytes of the targets that are bags.

        selection: where bags and merges are read; without it the device counts them.
        """
        x = super().forward(ids)  # (B, T, D)
        if self.ngrams is not None:
            before = None if cache is None else cache.read(ids, self.ngrams.longest - 1)
            x = x + self.ngrams(self.ngrams.newest_first(ids, doc, before))
        flat = x.view(-1, x.shape[-1])  # (B T, D), which shares its memory with x
        if bags is not None:
            # A bag is the target of the position before; the first position of a row reads none.
            read = of_mask(F.pad(ids[:, 1:] == BAG, (1, 0))) if selection is None else selection.bags
            flat[read] = self._of_bytes(bags.flatten(0, 1)[read - 1])
        if self.pieces is not None:
            is_merge = (ids >= COMP_OFFSET) & (ids < COMP_OFFSET + len(self.pieces))
            read = of_mask(is_merge) if selection is None else selection.merges
            flat[read] += self._of_bytes(self.pieces[ids.flatten()[read] - COMP_OFFSET])
        return x

    def _of_bytes(self, bags: Tensor) -> Tensor:
        """(N, D) of bags of bytes (N, size), -1 behind the last."""
        assert self.places is not None
        there = bags >= 0  # (N, size)
        size, D = bags.shape[1], self.places.shape[1]
        # One row for each byte at each place: a bag is then a sum of rows.
        table = (self.places[:size, None] * self.weight[BYTE_OFFSET:RAW_SIZE]).view(size * 256, D)
        rows = torch.arange(size, device=bags.device) * 256 + bags.long()  # (N, size)
        n_bytes = there.sum(1)  # (N,)
        x = (_listed if bags.device.type == "cpu" else _padded)(rows, there, n_bytes, table)
        if self.ngrams is None:
            return x
        # (N, longest) places of the last byte, the one before it, ..; negative in front of the bag.
        places = n_bytes[:, None] - 1 - torch.arange(self.ngrams.longest, device=bags.device)
        newest_first = torch.where(places >= 0, bags.long().gather(1, places.clamp(min=0)), -1)
        return x + self.ngrams(newest_first.unbind(1))  # type: ignore[no-any-return] # torch is untyped here


def _listed(rows: Tensor, there: Tensor, n_bytes: Tensor, table: Tensor) -> Tensor:
    """(N, D) means of the rows (N, size) of a table, where they are `there`: no more than these are read."""
    first = n_bytes.cumsum(0) - n_bytes  # (N,) the place of each bag's first row among all
    weights = torch.repeat_interleave(1 / n_bytes.to(table.dtype), n_bytes)  # a mean, not a sum
    return F.embedding_bag(rows[there], table, first, mode="sum", per_sample_weights=weights)


def _padded(rows: Tensor, there: Tensor, n_bytes: Tensor, table: Tensor) -> Tensor:
    """The same with a weight of zero for what is not there: more is read, but the device counts nothing."""
    weights = there / n_bytes[:, None].to(table.dtype)
    return F.embedding_bag(rows.clamp(min=0), table, mode="sum", per_sample_weights=weights)


class Ngrams(nn.Module):
    """Sum of the vectors of hashed n-grams, n = 2..longest, all in one table."""

    def __init__(self, longest: int, rows: int, d_model: int) -> None:
        super().__init__()
        self.longest, self.rows = longest, rows
        self.table = nn.Parameter(torch.zeros(rows + 1, d_model))  # the last row stands for "no n-gram", and stays zero

    def forward(self, newest_first: Iterable[Tensor]) -> Tensor:
        """(..., D) from `longest` tensors (...) of bytes: the byte at hand, the one before it, ...; -1 for none."""
        rows = torch.stack(list(self._rows(newest_first)), -1)  # (..., longest - 1)
        x = F.embedding_bag(rows.view(-1, rows.shape[-1]), self.table, mode="sum", padding_idx=self.rows)
        return x.view(*rows.shape[:-1], self.table.shape[1])

    def _rows(self, newest_first: Iterable[Tensor]) -> Iterator[Tensor]:
        """For each n: (...) rows of the table."""
        last, *before = newest_first  # the byte at hand, and those before it
        number, whole = last + 1, last >= 0
        for byte in before:
            number = number * 257 + (byte + 1)  # the bytes as digits; wraps around from n = 8 on
            whole = whole & (byte >= 0)  # a gram with a gap in it is none
            # Fibonacci hashing: the upper half of the product with 2^64 / golden ratio.
            yield torch.where(whole, ((number * _ODD) >> 32) % self.rows, self.rows)

    def newest_first(self, ids: Tensor, doc: Tensor | None, before: Tensor | None) -> Iterator[Tensor]:
        """`longest` times (B, T): the bytes 0, 1, .. positions back; -1 where there is none or another segment.

        before (B, longest - 1): ids that were read before these; without them the rows begin here.
        """
        B, T = ids.shape
        if before is None:
            before = ids.new_zeros(B, self.longest - 1)
        known = torch.cat([before, ids], 1)  # (B, longest - 1 + T)
        known = torch.where((known >= BYTE_OFFSET) & (known < RAW_SIZE), known - BYTE_OFFSET, -1)
        for back in range(self.longest):
            first = self.longest - 1 - back  # where the T bytes that far back begin
            byte = known[:, first : first + T]
            if doc is not None:
                same = torch.zeros_like(doc, dtype=torch.bool)
                # Segments are stretches: equal ends suffice.
                same[:, back:] = doc[:, back:] == doc[:, : T - back]
                byte = torch.where(same, byte, -1)
            yield byte
