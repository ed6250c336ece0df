"""Pages opened in a headless Chromium, where there is one: what it drew, and what it complained of."""

import re
import shutil
import subprocess
from pathlib import Path

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = "--headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-component-update --disable-sync"


def opened(address: str, profile: Path, *, until: str, milliseconds: int = 5000) -> tuple[str, list[str]]:
    """The document as the page's scripts left it, and the console's messages, uncaught errors among them.

    On a busy machine the browser may write the document before the scripts are done: where `until` is not in it, the
    page is opened again with four and sixteen times the time.
    """
    assert BROWSER is not None
    text, console = "", []
    for times in (1, 4, 16):
        command = [
            BROWSER,
            *FLAGS.split(),
            f"--user-data-dir={profile}",
            f"--virtual-time-budget={times * milliseconds}",
        ]
        done = subprocess.run(
            [*command, "--enable-logging=stderr", "--dump-dom", address], capture_output=True, text=True, timeout=120
        )
        text, console = done.stdout, re.findall(r":CONSOLE[:(]\d+\)?\] (.*)", done.stderr)
        if until in text:
            break
    return text, console
