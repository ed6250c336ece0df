"""README and the pages of results: tables that are those of the results, links that lead somewhere."""

import json
import re
from pathlib import Path

from bench.report import fill_tables

README = Path(__file__).parent.parent / "README.md"
CHECKED_BELOW = {"faults", "fuzz_bpe", "fuzz_documents", "portability"}


def test_the_tables_of_the_pages_are_those_of_the_results():
    """One mechanism ties all pages to their JSON: `proxyc bench fill-tables` puts the tables in."""
    root = README.parent
    pages = [
        README,
        root / "RESULTS.md",
        *(p for name in ("explanation", "results") for p in sorted((root / "docs" / name).glob("*.md"))),
    ]
    texts = [page.read_text() for page in pages]
    for page, text in zip(pages, texts, strict=True):
        assert fill_tables.filled(text) == text, f"proxyc bench fill-tables {page}"
    text = "".join(texts)
    assert text.count("<!-- end -->") > 10
    named = {path.stem for path in (root / "bench/results").glob("*.json")} - CHECKED_BELOW
    assert {name for name in named if not re.search(rf"<!-- [^>]*\b{name}\b", text)} == set()


def test_the_archive_is_whole():
    """What a page of it shows is there, and the index names all results and recipes."""
    folder = README.parent / "docs/results/archive"
    index = (folder / "README.md").read_text()
    files = [*folder.glob("*.json"), *folder.glob("recipes/*.toml")]
    assert len(files) > 30
    assert [file.stem for file in files if f"`{file.stem}`" not in index] == []
    for page in folder.glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert (folder / target).exists(), f"{page.name}: {target}"


def test_links_of_the_pages_lead_somewhere():
    root = README.parent
    for page in [README, root / "RESULTS.md", *(root / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_no_damage_but_to_brotli_files_goes_unnoticed():
    rows = json.loads((README.parent / "bench/results/faults.json").read_text())["rows"]
    assert {row["suffix"] for row in rows if row["lost"]} == {".br"}
    flips = next(row for row in rows if row["lost"])
    assert (
        f"{flips['lost']:,} of {flips['tried']:,} single bits flipped"
        in (README.parent / "docs/results/speed.md").read_text()
    )
    assert all(row["detected"] + row["harmless"] + row["lost"] == row["tried"] > 0 for row in rows)


def test_the_fuzzed_texts_of_the_readme_are_those_of_the_results():
    found = [
        json.loads((README.parent / f"bench/results/fuzz_{name}.json").read_text()) for name in ("bpe", "documents")
    ]
    assert [result["differ"] for result in found] == [0, 0]
    assert all(f"{result['texts']:,}" in README.read_text() for result in found)
