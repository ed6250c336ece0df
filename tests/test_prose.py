"""Phrases that readers stumble over, in pages, docstrings, comments and messages: each with what to write instead."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLAINER = {
    r"\b(is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b|such\b|other\b)[a-z]": "is not a ...",
    r"\banew\b": "again",
    r"(?<!let )(?<!stand )\b[a-z]+s? alone\b": "only ...",
    r"\b(go|goes|went|going) on\b": "continue, resume",
    r"\bso many\b": "the name of the number",
    r"\bof (its|their|his|one's|your|our) own\b": "(leave it out)",
    r"\btold to\b": "say who does what",
    r"\bas ever\b": "(leave it out)",
}
# Sentences about others' words, and pages that only keep what was written before.
ELSEWHERE = ("docs/results/archive/", "tests/test_prose.py", "bench/results/", "CHANGELOG.md")


def pages() -> list[Path]:
    """Every page and every module that is part of the repository."""
    listed = subprocess.run(["git", "ls-files", "*.py", "*.md", "*.toml"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:  # a source distribution has no git
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split() if not name.startswith(ELSEWHERE)]


def test_plain_words() -> None:
    found = []
    for page in pages():
        for number, line in enumerate(page.read_text().splitlines(), 1):
            for phrase, better in PLAINER.items():
                if match := re.search(phrase, line):
                    found.append(f"{page.relative_to(ROOT)}:{number}: {match[0]!r}; better: {better}")
    assert found == [], f"{len(found)} phrases"
