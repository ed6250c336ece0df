"""The log of a run for those who watch it elsewhere: TensorBoard, W&B, trackio, or what a package registers.

`train.trackers` names them. A package adds one by an entry point in the group `proxylm.trackers`: a name, and a callable that
makes a `Tracker` of a `Run`. What a tracker raises never ends a training: it is left out from there on, with one warning.
"""

from __future__ import annotations

import os
import sys
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

from compressors.atomic import write_atomically
from compressors.errors import InvalidConfig, MissingExtra

GROUP = "proxylm.trackers"  # of entry points
PROJECT = "proxyc"  # under which W&B and trackio file a run, unless their environment says otherwise


class Tracker(Protocol):
    """Where numbers of a run go."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """The numbers of one step, by name; called once a step, in order, again from a checkpoint on after a resume."""

    def close(self) -> None:
        """Write what is left."""


@dataclass(frozen=True)
class Run:
    """What a tracker is told of a run."""

    folder: Path
    """Of the run: its name is that of the run, and files of the tracker go into it."""
    config: Mapping[str, Any]
    """All settings, nested by section."""
    step: int
    """The first that will be logged; not 0 after a resume."""

    @property
    def id(self) -> str:
        """The same for as long as the folder lasts, and unlike that of any other run; kept in RUN/tracker-id."""
        file = self.folder / "tracker-id"
        if not file.exists():
            write_atomically(file, uuid.uuid4().hex[:12].encode())
        return file.read_text().strip()


class TensorBoard:
    """RUN/tensorboard. Steps that are done again after a resume replace those before."""

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step hides records of this and later steps.
        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=run.step)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class WandB:
    """Weights & Biases; WANDB_MODE, WANDB_PROJECT and the like count. A resumed run goes into the same one there.

    Steps that are done again are dropped there: they are equal to those before.
    """

    def __init__(self, run: Run) -> None:
        import wandb

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=run.folder.resolve().name,
            id=run.id,
            resume="allow",
            dir=str(run.folder),
            config=dict(run.config),
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


class Trackio:
    """trackio, a local dashboard (`trackio show`). A resumed run goes into the same one there."""

    def __init__(self, run: Run) -> None:
        import trackio

        name = f"{run.folder.resolve().name}-{run.id}"  # it knows runs by their names only
        with redirect_stdout(sys.stderr):  # standard output is for what the command prints
            self._run = trackio.init(project=PROJECT, name=name, resume="allow", config=dict(run.config), embed=False)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        with redirect_stdout(sys.stderr):
            self._run.finish()


TRACKERS: dict[str, Callable[[Run], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "trackio": Trackio}


def maker(name: str) -> Callable[[Run], Tracker]:
    """What makes the tracker called `name`. Raises `InvalidConfig` for an unknown one."""
    if name in TRACKERS:
        return TRACKERS[name]
    plugins = {point.name: point for point in entry_points(group=GROUP)}
    if name not in plugins:
        known = ", ".join([*TRACKERS, *sorted(plugins)])
        raise InvalidConfig(f"train.trackers: unknown tracker {name!r}; known: {known}")
    made: Callable[[Run], Tracker] = plugins[name].load()
    return made


@contextmanager
def tracking(names: Sequence[str], run: Run) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A report (`proxylm.training.trainer.Report`) that gives every number of a record to each tracker of `names`.

    Raises `InvalidConfig` for an unknown name and `MissingExtra` for a package that is not installed; whatever else goes
    wrong is a warning.
    """
    opened: dict[str, Tracker] = {}
    missing: list[str] = []

    def attempt(name: str, action: Callable[[], None]) -> None:
        """What fails in any way is left out from here on."""
        try:
            action()
        except (Exception, SystemExit) as error:  # of other people's code, which may also want to end the process
            opened.pop(name, None)
            said = " ".join(str(error).split()) or type(error).__name__
            warnings.warn(f"the tracker {name} fails and is left out from here on: {said:.200}", stacklevel=2)

    def open_one(name: str, make: Callable[[Run], Tracker]) -> None:
        try:
            opened[name] = make(run)
        except ModuleNotFoundError as error:
            extra = "trackio" if name == "trackio" else "trackers"
            missing.append(f"the tracker {name} needs {error.name}: pip install 'proxyc[{extra}]'")

    for name, make in {name: maker(name) for name in names}.items():
        attempt(name, partial(open_one, name, make))
    if missing:
        raise MissingExtra("; ".join(missing))

    def report(record: dict[str, Any]) -> None:
        numbers = dict(numbers_of(record))
        for name, tracker in list(opened.items()):
            attempt(name, partial(tracker.log, record["step"], numbers))

    try:
        yield report
    finally:
        for name, tracker in list(opened.items()):
            attempt(name, tracker.close)


def numbers_of(record: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """(name, value) of all numbers, also in nested records: symbols/raw."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from numbers_of(value, f"{before}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            yield before + str(name), float(value)
