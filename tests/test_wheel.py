"""The distribution builds, holds what it needs, and works where only it and its dependencies are installed; plugins too."""

import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
BUILD = ["wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
MODULES = {
    str(p.relative_to(ROOT)) for package in ("compressors", "proxylm", "bench") for p in (ROOT / package).rglob("*.py")
}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    source = folder / "source"
    for name in run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines():
        if (ROOT / name).is_file():  # a clean copy: building in place would leave folders behind
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, folder, cwd=source)
    (found,) = folder.glob("proxyc-*.tar.gz")
    return found


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """Built from nothing but the source distribution."""
    run(*PIP, *BUILD, "-w", sdist.parent, sdist)
    (found,) = sdist.parent.glob("proxyc-*.whl")
    return found


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a package made of what the tutorial says about adding a compressor, and of nothing else."""
    page = (ROOT / "docs/tutorials/your-own-compressor.md").read_text()
    code, points = (
        re.findall(rf"^```{kind}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[0] for kind in ("python", "toml")
    )
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "your_package.py").write_text(code)
    project = '[project]\nname = "your-package"\nversion = "1.0"\n[tool.setuptools]\npy-modules = ["your_package"]\n'
    (folder / "pyproject.toml").write_text(project + points)
    run(*PIP, *BUILD, "-w", folder, folder)
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path, plugin: Path) -> Path:
    """The `bin` of an empty environment into which both were installed."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False)
    run(*PIP, "--python", folder / "bin/python", "install", "-q", "--no-index", "--no-deps", wheel, plugin)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    # The dependencies of this environment, without the editable install of the checkout: no .pth of it is read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bin"


def test_the_sdist_holds_all_sources_and_what_the_build_needs(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert (
        MODULES | {"pyproject.toml", "README.md", "LICENSE", "docs/reference/pxc.md", "tests/golden/zstd.json"} <= names
    )


def test_the_wheel_holds_packages_types_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in ("compressors", "proxylm", "bench")} | MODULES <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "demo")) for name in names)


def test_the_wheel_works_in_an_environment_of_its_own(environment: Path, tmp_path: Path) -> None:
    code = (
        "import compressors, pathlib, sys\n"
        "assert pathlib.Path(compressors.__file__).is_relative_to(sys.prefix), compressors.__file__\n"
        "codec = compressors.get('zstd'); assert codec.decode(codec.encode(b'hello')) == b'hello'\n"
    )
    run(environment / "python", "-c", code, cwd=tmp_path)
    listed = run(environment / "proxyc", "codecs", cwd=tmp_path)
    assert "BROKEN" not in listed
    assert "zstd" in listed


def test_the_plugin_of_the_tutorial_compresses_files(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"any bytes \xff\x00" * 5000)
    assert re.search(r"^nibbles +your-package +Two symbols", run(environment / "proxyc", "codecs"), re.MULTILINE)
    run(environment / "proxyc", "compress", "--codec", "nibbles", "--rm", "x.txt", cwd=tmp_path)
    inspected = run(environment / "proxyc", "inspect", "x.txt.pxc", cwd=tmp_path)
    assert re.search(r"^codec +nibbles$", inspected, re.MULTILINE)
    run(environment / "proxyc", "decompress", "--rm", "x.txt.pxc", cwd=tmp_path)
    assert (tmp_path / "x.txt").read_bytes() == b"any bytes \xff\x00" * 5000


def test_without_the_train_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    command = [sys.executable, "-m", "proxylm.cli.main", "generate", "run", "x"]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "proxyc: this command needs torch, which is not installed: pip install 'proxyc[train]'\n"
