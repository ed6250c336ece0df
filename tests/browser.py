"""Headless Chromium, for tests of pages."""

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium")


def dom(address: str, profile: Path, milliseconds: int = 2000) -> str:
    """The page as Chromium has it once its script has run, and has said nothing on the console."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={profile}", "--window-size=1100,3000"]
    flags += ["--enable-logging=stderr", f"--virtual-time-budget={milliseconds}", "--dump-dom", address]
    done = subprocess.run([str(BROWSER), *flags], capture_output=True, text=True, timeout=120, check=True)
    assert ":CONSOLE" not in done.stderr, done.stderr
    return done.stdout
