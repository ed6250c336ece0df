"""The site of the documentation: built strictly, and looked at by a browser."""

import subprocess
import sys
from pathlib import Path

import browser
import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make docs` builds it; a link or a reference to nothing is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-n",
        "-W",
        "--keep-going",
        "-q",
        "-d",
        folder / "cache",
        "-b",
        "html",
        "docs",
    ]
    done = subprocess.run([*command, folder / "html"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert 'src="http' not in page.read_text(), page
    assert (site / "reference/settings.html").is_file()


@pytest.mark.skipif(browser.BROWSER is None, reason="needs a Chromium")
@pytest.mark.parametrize("page", ["index", "tutorials/first-model", "reference/commands", "results/index"])
def test_pages_open_without_complaint(site: Path, tmp_path: Path, page: str) -> None:
    text, console = browser.opened(f"file://{site}/{page}.html", tmp_path / "profile", until="<h1>")
    assert "<h1>" in text
    assert console == []


@pytest.mark.skipif(browser.BROWSER is None, reason="needs a Chromium")
def test_search_finds_a_page(site: Path, tmp_path: Path) -> None:
    found = "how-to/damaged-files.html"
    text, console = browser.opened(f"file://{site}/search.html?q=salvage", tmp_path / "profile", until=found)
    assert found in text
    assert console == []
