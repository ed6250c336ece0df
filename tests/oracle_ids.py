"""The stream of ids that `bpe` writes, read with Python's integers, by the description in docs/pxc.md and nothing else."""

from typing import Any


class Bits:
    """The range coder: `choose` gives which of some frequencies comes next."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.code, self.range = data, 0, 0, (1 << 64) - 1
        self._shift(8)

    def _shift(self, n: int) -> None:
        self.code = self.code << 8 * n | int.from_bytes(self.data[self.at : self.at + n].ljust(n, b"\0"), "big")
        self.at += n

    def choose(self, frequencies: list[int]) -> int:
        step, start = self.range // sum(frequencies), 0
        for chosen, size in enumerate(frequencies):
            if self.code < (start + size) * step or chosen == len(frequencies) - 1:
                break
            start += size
        self.code, self.range = self.code - start * step, size * step
        assert self.code < self.range
        if self.range < 1 << 32:
            self.range <<= 32
            self._shift(4)
        return chosen


class Odds:
    """One adaptive probability."""

    def __init__(self, entry: int) -> None:
        self.yes, self.age = entry >> 8, entry % 256

    def ask(self, bits: Bits) -> bool:
        answer = bits.choose([self.yes, 65536 - self.yes]) == 0
        target = 65536 - 24 if answer else 24
        self.yes += 2 * (target - self.yes) // (2 * self.age + 3)
        self.age = min(self.age + 1, 255)
        return answer


def decode(data: bytes, vocab_size: int, arrays: dict[str, Any]) -> list[int]:
    """The ids; `arrays` as in an artifact, or {}."""
    n = shift = at = 0
    while True:
        n, shift, at = n | (data[at] & 127) << shift, shift + 7, at + 1
        if data[at - 1] < 128:
            break
    tables = {name: array.tolist() for name, array in arrays.items()}
    bits = Bits(data[at:])
    odds = [Odds(entry) for entry in tables.get("odds", [1 << 23] * 144)]
    counts = tables.get("counts", [0] * vocab_size)
    total = sum(count + 1 for count in counts)
    frequencies = [(count + 1) * ((1 << 24) - vocab_size) // total + 1 for count in counts]
    rows, begin = [], 0
    for length in tables.get("row_lengths", [0] * (vocab_size + 1)):
        rows.append((begin, begin + length))
        begin += length
    size = 16
    while size < min(n, 1 << 18):
        size *= 2
    lists: dict[int, list[list[int]]] = {}  # of [symbol, how sure], the latest first
    ids: list[int] = []
    for i in range(n):
        last = ids[-1] if i else vocab_size
        one = (last + 1) * 0x9E3779B97F4A7C15 % (1 << 64)
        two = (one + (ids[-2] if i > 1 else 0)) * 0x9E3779B97F4A7C15 % (1 << 64)
        single, pair = (one >> 32) % size, size + (two >> 32) % size
        symbol, refused = -1, []
        for order, bucket in ((0, pair), (1, single)):
            entries = lists.setdefault(bucket, [])
            for way, (candidate, sure) in enumerate(entries):
                context = ((order * 4 + len(entries) - 1) * 4 + way) * 4 + sure
                if symbol < 0 and candidate not in refused:
                    refused.append(candidate)
                    if odds[context].ask(bits):
                        symbol = candidate
        first, end = rows[last]
        if symbol < 0 and first < end and odds[128 + tables["row_classes"][last]].ask(bits):
            symbol = tables["row_symbols"][first + bits.choose(tables["row_counts"][first:end])]
        if symbol < 0:
            symbol = bits.choose(frequencies)
            if sum(frequencies) < 1 << 30:
                frequencies[symbol] += 1 << 15
        for bucket in (single, pair):
            sure = [entry[1] + 1 for entry in lists[bucket] if entry[0] == symbol]
            others = [entry for entry in lists[bucket] if entry[0] != symbol]
            lists[bucket] = [[symbol, min(sum(sure), 3)], *others][:4]
        ids.append(symbol)
    return ids
