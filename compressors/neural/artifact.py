"""Artifacts of the neural codecs: what a network and windows are kept as, together or one without the
other.

`codec.Neural.save` writes both into one file (`together`), and its constructor takes it apart
again.
`train.fit` makes the artifact of a network, with the digest of its self-test. Arrays of windows are
named
``windows.*``, so the two never clash.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from compressors.artifact import Artifact
from compressors.neural.mixing import packaged_start
from compressors.neural.model import PARTS, PRESETS, Model, preset, squash_table
from compressors.neural.self_test import check_stream, stream_digest
from compressors.neural.windows import ARRAYS, PARENT

CODEC = "neural"


def artifact_of(name: str, arrays: dict[str, Any], card: dict[str, Any]) -> Artifact:
    """The artifact of a trained network (and mixers; else the package's) of preset `name`, with its self-test."""
    settings: dict[str, Any] = {"preset": name, "shape": asdict(PRESETS[name])}
    # Tuples as lists: what JSON gives back must be equal.
    settings["shape"] |= {k: list(v) for k, v in settings["shape"].items() if isinstance(v, tuple)}
    arrays = {"squash": squash_table(), **packaged_start(name).arrays(), **arrays}
    # Computed here, on the machine that trained: every other machine must get the same digest.
    settings["self_test"] = stream_digest(Model.of(settings, arrays))
    return Artifact(codec=CODEC, settings=settings, arrays=arrays, card=card)


def packaged_network(name: str) -> Artifact:
    """The network of preset `name` that comes with the package. Raises `InvalidConfig`."""
    preset(name)
    return Artifact.packaged(f"neural-{name}")


def network_of(artifact: Artifact | None, name: str) -> Artifact:
    """The network in `artifact`, or the package's own of preset `name`. Raises `InvalidConfig`."""
    network = apart(artifact)[0] or packaged_network(name)
    network.expect(CODEC, *PARTS)
    return network


def model_of(network: Artifact) -> Model:
    """The model of a network, after its self-test. Raises `WrongArithmetic`."""
    model = Model.of(network.settings, network.arrays)
    check_stream(model, network.settings.get("self_test"))
    return model


def apart(artifact: Artifact | None) -> tuple[Artifact | None, Artifact | None]:
    """(network, windows) of an artifact that holds one of them or both."""
    if artifact is None or PARENT not in artifact.arrays:
        return artifact, None
    # What is not of the windows is the network's; the card of the windows lies within the
    # network's.
    rest = dict(artifact.arrays)
    windows = {name: rest.pop(name) for name in ARRAYS if name in rest}
    if not rest:
        return None, artifact
    card = dict(artifact.card)
    dictionary = Artifact(codec=artifact.codec, settings={}, arrays=windows, card=card.pop("windows", {}))
    return Artifact(codec=artifact.codec, settings=artifact.settings, arrays=rest, card=card), dictionary


def together(network: Artifact | None, windows: Artifact) -> Artifact:
    """One artifact of both, which `apart` takes to pieces."""
    if network is None:
        return windows
    card, arrays = {**network.card, "windows": dict(windows.card)}, {**network.arrays, **windows.arrays}
    return Artifact(codec=network.codec, settings=network.settings, arrays=arrays, card=card)


__all__ = ["apart", "artifact_of", "model_of", "network_of", "packaged_network", "together"]
