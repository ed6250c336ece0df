"""What the distribution says of the versions it needs, and where a package has no wheel."""

import builtins
import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from compressors import symbol_coder
from compressors.errors import MissingExtra
from proxylm.config_files import load

ROOT = Path(__file__).parent.parent
PROJECT = load(ROOT / "pyproject.toml")["project"]
REQUIRED = {found.name: found for found in map(Requirement, PROJECT["dependencies"])}
EXTRA = {
    name: {found.name: found for found in map(Requirement, extra)}
    for name, extra in PROJECT["optional-dependencies"].items()
}


def test_every_dependency_has_a_lower_bound():
    everything = [*REQUIRED.values(), *(found for extra in EXTRA.values() for found in extra.values())]
    unbounded = [str(found) for found in everything if found.name not in ("proxyc", "wheel") and not found.specifier]
    assert unbounded == []


@pytest.mark.parametrize(
    ("found", "too_old", "enough"),
    [
        (REQUIRED["tokenizers"], "0.21.1", "0.21.2"),  # older ones have other Unicode classes
        (REQUIRED["filelock"], "3.29.7", "3.30.0"),  # lock_descriptor
        (EXTRA["bridges"]["fsspec"], "2024.2.0", "2024.3.0"),  # url_to_fs
        (EXTRA["test"]["click"], "8.1.8", "8.2.0"),  # output and stderr of a test runner
    ],
)
def test_bounds_that_were_measured(found, too_old, enough):
    assert too_old not in found.specifier
    assert enough in found.specifier


@pytest.mark.parametrize(
    ("machine", "has_wheel"),
    [("x86_64", True), ("arm64", True), ("AMD64", True), ("aarch64", False), ("armv7l", False), ("ARM64", False)],
)
def test_constriction_is_asked_for_where_it_has_a_wheel(machine, has_wheel):
    """arm64 is macOS, ARM64 Windows, aarch64 Linux."""
    assert REQUIRED["constriction"].marker.evaluate({"platform_machine": machine}) is has_wheel


def test_without_constriction_the_error_says_where_it_has_no_wheel(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "constriction":
            raise ModuleNotFoundError("No module named 'constriction'", name=name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        MissingExtra, match=r"pip install constriction \(on Linux for Arm and with musl it has no wheel"
    ):
        symbol_coder._constriction()


def test_continuous_integration_runs_the_pythons_that_are_declared():
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    declared = re.findall(r"Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
    assert jobs["test"]["strategy"]["matrix"]["python"] == declared
    (oldest,) = [
        step["with"]["python-version"]
        for step in jobs["oldest"]["steps"]
        if "with" in step and "python-version" in step["with"]
    ]
    assert PROJECT["requires-python"] == f">={oldest}"
    files = re.findall(r"tests/\w+\.py", str(jobs["oldest"]))
    assert [name for name in files if not (ROOT / name).is_file()] == []
