"""The distribution builds, holds what it needs, and works where only it and its dependencies are installed."""

import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split("\n")
    for name in filter(None, tracked):  # a clean copy: building in place would leave folders behind
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (found,) = folder.glob("proxyc-*.whl")
    return found


def test_the_wheel_holds_packages_types_and_licence(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for package in ("compressors", "proxylm", "bench"):
        assert f"{package}/py.typed" in names
        modules = {str(p.relative_to(ROOT)) for p in (ROOT / package).rglob("*.py")}
        assert modules <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests", "demo")) for name in names)


def test_the_wheel_works_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "env", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "env"), "platbase": str(tmp_path / "env")}))
    zipfile.ZipFile(wheel).extractall(site)
    # The dependencies of this environment, without the editable install of the checkout: no .pth of it is read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = tmp_path / "env/bin/python"
    code = (
        "import compressors, pathlib, sys\n"
        "assert pathlib.Path(compressors.__file__).is_relative_to(sys.prefix), compressors.__file__\n"
        "codec = compressors.get('zstd'); assert codec.decode(codec.encode(b'hello')) == b'hello'\n"
        "from proxylm.cli import main; sys.argv = ['proxyc', 'codecs']; main()\n"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "BROKEN" not in done.stdout
    assert "zstd" in done.stdout


def test_without_the_train_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')")
    command = [sys.executable, "-m", "proxylm.cli", "generate", "run", "x"]
    done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "proxyc: this command needs torch, which is not installed: pip install 'proxyc[train]'\n"
