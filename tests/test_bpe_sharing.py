"""Threads share chunks: every chunk is done once, the answers are in order, an exception is not lost."""

import threading
import time

import numpy as np
import pytest

from compressors.bpe import encoder, sharing
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


def test_without_more_threads_those_that_run_do_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(sharing._thread, "start_new_thread", none)
    assert side_by_side(lambda thread, i: (thread, i), 5, 3) == [(0, i) for i in range(5)]


def test_after_an_exception_nothing_is_begun_and_all_have_ended() -> None:
    """What the threads work with belongs to the caller again."""
    begun, ended, other_begun = [], [], threading.Event()

    def work(thread: int, i: int) -> None:
        begun.append(i)
        if thread == 0:
            assert other_begun.wait(60)
            raise KeyboardInterrupt
        other_begun.set()
        time.sleep(0.05)
        ended.append(i)

    with pytest.raises(KeyboardInterrupt):
        side_by_side(work, 100, 2)
    assert ended == [50]
    assert begun == [0, 50] or begun == [50, 0]


def test_few_chunks_that_become_shorter_cover_all_documents() -> None:
    sizes = np.random.default_rng(3).integers(0, 60_000, 500)
    for threads in (2, 3, 8):
        shares = encoder._shares(sizes, threads)
        assert [i for share in shares for i in range(500)[share]] == list(range(500))
        chunks = [int(sizes[share].sum()) for share in shares]
        assert chunks[0] > 4 * chunks[-1]
        assert max(chunks) <= 2 * encoder.CHUNK + 60_000
        assert len(chunks) < 16 * threads
    assert encoder._shares(sizes[:0], 2) == []
    assert encoder._shares(np.zeros(3, np.int64), 2) == [slice(0, 3)]


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
