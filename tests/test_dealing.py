"""Muon dealt out: three processes do what one does, each a third of it. `torchrun` starts this file with three."""

import json
import os
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import torch

from proxylm.training import optim
from proxylm.training.dealing import by_shape, dealt
from proxylm.training.distributed import Place

# Five of one shape, so that hands have different numbers of them.
SHAPES = [(24, 24)] * 5 + [(48, 16), (16, 48), (33, 7)]


def matrices_of(shapes):
    return [torch.empty(shape) for shape in shapes]


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_every_matrix_is_in_one_hand_and_the_work_is_shared(world):
    matrices = matrices_of([(64, 64)] * 8 + [(256, 64), (64, 256)] * 4)
    hands = dealt(matrices, world)
    assert sorted(number for hand in hands for number in hand) == list(range(16))
    work = [sum(matrices[number].numel() for number in hand) for hand in hands]
    assert max(work) <= 1.3 * sum(work) / world


def test_more_processes_than_matrices_leave_some_without_work():
    assert dealt(matrices_of([(4, 4), (8, 8)]), 4) == [[1], [0], [], []]


def test_equal_shapes_go_together():
    assert list(by_shape(matrices_of(SHAPES), range(4, 8))) == [[4], [5], [6], [7]]
    assert list(by_shape(matrices_of(SHAPES), [0, 5, 3])) == [[0, 3], [5]]


def stepped(place, bf16, without=None):
    """Matrices and momenta after three steps with the same gradients; one matrix may have none."""
    torch.manual_seed(0)
    matrices = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    muon = optim.Muon(matrices, 0.02, weight_decay=0.1, bf16=bf16, place=place)
    for _ in range(3):
        for number, matrix in enumerate(matrices):
            gradient = torch.randn(matrix.shape)
            matrix.grad = None if number == without else gradient
        muon.step()
    return [*matrices, *(value for state in muon.state.values() for value in state.values())]


def three_processes(folder):
    done, orthogonal = [], optim.orthogonal
    with Place.here() as place:
        found = {}
        for name, options in (("fp32", (False,)), ("bf16", (True,)), ("hole", (False, 2))):
            alone = stepped(None, *options)
            optim.orthogonal = lambda given, **rest: done.append(len(given)) or orthogonal(given, **rest)
            together = stepped(place, *options)
            optim.orthogonal = orthogonal
            found[name] = {
                "same": all(map(torch.equal, alone, together)) and len(alone) == len(together),
                "done": sum(done) // 3,
            }
            done.clear()
        (folder / f"found-{place.rank}.json").write_text(json.dumps(found))


def test_three_processes_have_the_bits_of_one(tmp_path):
    launch = [forked.python(), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", __file__]
    done = subprocess.run(
        [*launch, str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = [json.loads((tmp_path / f"found-{rank}.json").read_text()) for rank in range(3)]
    for name, n_matrices in (("fp32", 8), ("bf16", 8), ("hole", 7)):
        assert all(of[name]["same"] for of in found), name
        shares = [of[name]["done"] for of in found]
        assert sum(shares) == n_matrices
        assert max(shares) < n_matrices / 2


if __name__ == "__main__":
    three_processes(Path(sys.argv[1]))
