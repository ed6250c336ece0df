"""The folder of a checkpoint: filled under another name, and renamed into place once all of it is on disk."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from compressors.atomic import sync_folder
from compressors.errors import ProxycError, in_one_line


class CheckpointError(ProxycError, ValueError):
    """A checkpoint that is damaged or of another run."""


def begun(target: Path) -> Path:
    """The folder that is to become `target`, empty; what a killed run has left goes, or gets its name back."""
    for old in target.parent.glob(".*.old"):
        whole = old.with_name(old.name.removeprefix(".").removesuffix(".old"))
        if not whole.exists():  # a run was killed between the two renames of `finish`
            os.replace(old, whole)
    for left in (*target.parent.glob(".*.tmp"), *target.parent.glob(".*.old")):  # of a run that was killed
        shutil.rmtree(left)
    temporary = target.parent / f".{target.name}.tmp"
    temporary.mkdir(parents=True)
    return temporary


def finish(temporary: Path, target: Path, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """Put files beside those that are in the folder `temporary`, and give it its name."""
    with failing_in_one_line(target, temporary):
        for name, found in tensors.items():
            save_file({key: tensor.contiguous() for key, tensor in found.items()}, temporary / f"{name}.safetensors")
        (temporary / "state.json").write_text(json.dumps(state))
        # On disk before the folder gets its name: a crash leaves either the whole checkpoint or none.
        for file in filter(Path.is_file, temporary.iterdir()):
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
    before = target.parent / f".{target.name}.old"
    if target.exists():  # a folder cannot be renamed over another: the one before goes last
        os.replace(target, before)
    os.replace(temporary, target)
    sync_folder(target.parent)
    if before.exists():
        shutil.rmtree(before)


@contextmanager
def failing_in_one_line(target: Path, temporary: Path) -> Iterator[None]:
    """An error of the disk becomes a `CheckpointError`, and leaves nothing."""
    try:
        yield
    except (SafetensorError, OSError) as error:  # what safetensors raises of a full disk is not an OSError
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"cannot write {target}: {in_one_line(error)}; make room, and the same command resumes at the checkpoint before"
        ) from error
