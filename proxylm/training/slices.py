"""Checkpoints of large sharded runs: each process writes its slices, by `torch.distributed.checkpoint`, while training continues.

Nothing is put together, and no process holds or sends more than its share. The files are safetensors: nothing is pickled.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor

from compressors.errors import in_one_line
from proxylm.training.distributed import TIMEOUT, Place

# Bytes of weights and states, about those of 1e9 parameters. What is smaller is put together, and is the same two files always.
LARGE = 1 << 33
FOLDER = "slices"


class Slices:
    """Writes those of the processes of a sharded run, which must all make one."""

    def __init__(self, place: Place) -> None:
        self.place, self._group = place, None

    def begin(
        self, tensors: Mapping[str, Tensor], prepare: Callable[[], Path]
    ) -> tuple[Path, Callable[[], None]] | None:
        """Copy this process's slices of `tensors` and write them into a folder; the folder, and what waits until all have.

        prepare: makes the folder, in process 0. Every process must ask. None if not all of them see what process 0 has made.
        What waits raises `OSError`, in all of them.
        """
        place, folder = self.place, self.place.from_first(prepare)
        if place.summed(torch.tensor([float(folder.is_dir())])).item() < place.world:
            return None
        from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
        from torch.distributed.checkpoint.state_dict_saver import async_save

        if self._group is None:  # messages about files must not get between those of the training
            self._group = dist.new_group(backend="gloo", timeout=TIMEOUT)
        files = HuggingFaceStorageWriter(str(folder / FOLDER), save_distributed=True)
        written: Any = async_save(dict(tensors), storage_writer=files, process_group=self._group)

        def wait() -> None:
            try:
                written.result()
            except BaseException as error:  # torch's is no Exception, and holds those of all processes
                causes = [cause for cause, _ in getattr(error, "failures", {}).values()] or [error]
                raise OSError(in_one_line(causes[0])) from error

        return folder, wait

    def __enter__(self) -> Slices:
        return self

    def __exit__(self, *_: object) -> None:
        if self._group is not None and dist.is_initialized():
            dist.destroy_process_group(self._group)


def files_of(folder: Path) -> list[str]:
    """Names of the files of slices in the folder of a checkpoint, for its state.json."""
    return sorted(path.name for path in (folder / FOLDER).iterdir())


def tensors_of(checkpoint: Path, kind: str) -> dict[str, Tensor]:
    """All tensors of a kind ("model", "optimizer") in a checkpoint, whole, in main memory; alone or not, this process reads.

    Raises `OSError`, `SafetensorError`, or `ValueError` where files of slices are missing.
    """
    found = load_file(checkpoint / f"{kind}.safetensors")
    named: list[str] = json.loads((checkpoint / "state.json").read_text()).get(FOLDER, [])
    if missing := [name for name in named if not (checkpoint / FOLDER / name).is_file()]:
        raise ValueError(f"{FOLDER}/{missing[0]} is missing")
    return found | (_whole(checkpoint / FOLDER, f"{kind}.") if named else {})


def _whole(folder: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    files = HuggingFaceStorageReader(str(folder))
    known: Any = files.read_metadata().state_dict_metadata
    empty = {
        name: torch.empty(of.size, dtype=of.properties.dtype) for name, of in known.items() if name.startswith(prefix)
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is alone, as it is asked to be
        load(empty, storage_reader=files, no_dist=True)
    return {name.removeprefix(prefix): tensor for name, tensor in empty.items()}
