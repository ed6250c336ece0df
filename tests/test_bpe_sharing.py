"""Threads share chunks: every chunk is done once, the answers are in order, an exception is not lost."""

import threading

import numpy as np
import pytest

from compressors.bpe.codec import BPE
from compressors.bpe.sharing import side_by_side


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("n_items", [0, 1, 2, 7, 40])
def test_every_item_is_done_once_and_answers_are_in_order(n_items: int, threads: int) -> None:
    done: list[int] = []
    assert side_by_side(lambda _, i: done.append(i) or -i, n_items, threads) == [-i for i in range(n_items)]
    assert sorted(done) == list(range(n_items))


def test_the_caller_works_and_each_thread_begins_with_its_run() -> None:
    both = threading.Barrier(2, timeout=60)
    first = {}

    def work(thread: int, i: int) -> int:
        if thread not in first:
            first[thread] = (i, threading.current_thread())
            both.wait()
        return i

    assert side_by_side(work, 10, 2) == list(range(10))
    assert first[0] == (0, threading.current_thread())
    assert first[1][0] == 5


def test_a_thread_without_items_takes_those_of_another() -> None:
    begun, others_done = threading.Event(), threading.Event()
    by_thread: dict[int, list[int]] = {0: [], 1: []}

    def work(thread: int, i: int) -> None:
        by_thread[thread].append(i)
        if thread == 0:
            begun.set()
            assert others_done.wait(60)
        else:
            assert begun.wait(60)
            if len(by_thread[1]) == 7:
                others_done.set()

    side_by_side(work, 8, 2)
    assert by_thread == {0: [0], 1: [4, 5, 6, 7, 3, 2, 1]}


@pytest.mark.parametrize("bad", [0, 9])
def test_an_exception_of_any_thread_is_raised(bad: int) -> None:
    def work(_: int, i: int) -> int:
        if i == bad:
            raise ValueError("bad item")
        return i

    with pytest.raises(ValueError, match="bad item"):
        side_by_side(work, 10, 2)


def test_threads_give_the_ids_of_one_and_keep_their_caches() -> None:
    documents = [b"".join(b" word%d" % (i * j % 977) for j in range(300)) for i in range(60)]
    one = BPE().encode_batch(documents)
    codec = BPE()
    for _ in range(2):
        many = codec.encode_batch(documents, threads=3)
        assert np.array_equal(many.values, one.values)
        assert np.array_equal(many.offsets, one.offsets)
        kept = list(codec._engine._workspaces)
    codec.encode_batch(documents, threads=3)
    assert codec._engine._workspaces == kept  # the same thread gets the same pieces again
