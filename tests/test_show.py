import json
import re
import subprocess
import sys
from pathlib import Path

import browser
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import compressors
from compressors.cli.shown import shown
from compressors.errors import InputError, InvalidConfig
from compressors.show import Cut, changed_symbols, visible
from compressors.show.cut import edited
from compressors.show.page import fragment, page
from compressors.show.terminal import drawn
from proxylm.cli.main import proxyc
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.alphabet import Alphabet
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.evaluation.byte_costs import byte_costs
from proxylm.model.decoder import Decoder

# Control characters, a tab, a script's end, invalid UTF-8, right-to-left text, an emoji of two characters.
TEXT = "def área(x):\n\treturn '日本語 🙂👍🏽 שלום\u202e'\x00\x1b[31m</script><b>".encode() + b"\xff\xfe\n"


def test_pieces_are_the_text(bpe):
    cut = Cut.of(bpe, TEXT)
    assert b"".join(cut.pieces) == TEXT
    assert len(cut.pieces) == len(cut.symbols)
    assert cut.bytes_per_symbol == len(TEXT) / len(cut.symbols)


@pytest.mark.parametrize("merges", [0, 1, 100, 768])
def test_fewer_merges_cut_finer(bpe, merges):
    cut = Cut.of(bpe, TEXT).with_merges(merges)
    assert b"".join(cut.pieces) == TEXT
    assert cut.symbols.max() < 256 + merges
    by_symbol = [bpe.vocab.pieces[symbol] for symbol in cut.symbols]
    assert by_symbol == cut.pieces


def test_merges_that_are_not_there_are_refused(bpe):
    with pytest.raises(InvalidConfig, match="expected 0 to 768"):
        Cut.of(bpe, TEXT).with_merges(769)
    with pytest.raises(InvalidConfig, match="not refinable"):
        Cut.of(compressors.get("zstd"), TEXT).with_merges(3)


def test_a_view_without_spans_has_no_pieces():
    cut = Cut.of(compressors.get("gzip"), TEXT)
    with pytest.raises(InvalidConfig, match="do not align"):
        _ = cut.pieces
    assert str(cut.symbols[0]) in drawn([cut], colour=False)


def test_changed_symbols_are_those_outside_matching_runs():
    before = np.array([1, 2, 3, 4, 5, 6], np.uint16)
    assert changed_symbols(before, np.array([1, 2, 9, 4, 5, 6], np.uint16)).tolist() == [0, 0, 1, 0, 0, 0]
    assert changed_symbols(before, np.array([9, 1, 2, 4, 5, 7], np.uint16)).tolist() == [1, 0, 0, 0, 0, 1]
    assert not changed_symbols(before, before).any()
    assert not changed_symbols(before, before[:0]).any()


def test_every_byte_is_visible():
    assert visible(b"\t\n\x00\x7f\x1b") == "→   ↵\n␀␡␛"
    assert visible(b"\xff\xe6\x97") == "⟨ff⟩⟨e6⟩⟨97⟩"
    assert visible("\u202e\ufeff\u2028".encode()) == "⟨U+202E⟩⟨U+FEFF⟩⟨U+2028⟩"
    assert visible("naïve 日本 👍🏽".encode()) == "naïve 日本 👍🏽"


def test_edits():
    assert edited(b"abcde", "") == b"abde"
    assert edited(b"abab", "b=>c") == b"acab"
    for wrong in ("x=>y", "=>y", "b"):
        with pytest.raises(InvalidConfig, match="--edit"):
            edited(b"abab", wrong)


def test_the_terminal_shows_all_of_it_within_its_width(bpe):
    cut, edit = Cut.of(bpe, TEXT), Cut.of(bpe, edited(TEXT, "return=>retrun"))
    text = drawn([cut], [edit], [("model", np.full(len(TEXT), 3.0))], width=40, colour=False)
    assert max(map(len, text.splitlines())) <= 40
    assert "\x1b" not in text
    assert "symbols differ" in text
    assert "3.000 bits a byte" in text
    assert "bytes more" in drawn([Cut.of(bpe, TEXT * 100)], colour=False, most=100)
    assert "\x1b[" in drawn([cut], colour=True)


def test_the_neural_costs_sum_to_its_file():
    codec = compressors.get("neural", preset="fast")
    text = Path(__file__).read_bytes()
    costs = codec.costs(text)
    assert costs.shape == (len(text),)
    assert costs.min() > 0
    assert abs(costs.sum() / 8 - len(codec.compress(text))) < 10


def test_costs_under_a_model_are_those_of_evaluation():
    config = RunConfig(
        train=TrainConfig(steps=1, row_length=66),
        model=ModelConfig(d_model=16, n_layers=1, n_heads=1),
        mix=MixConfig(chunk=64),
    )
    torch.manual_seed(1)
    model = Decoder.of(config, Alphabet({})).eval()
    for text in (TEXT * 5, TEXT[:1], b""):
        costs = byte_costs(model, config, text)
        assert costs.shape == (len(text),)
        if text:
            scored = evaluate(model, [text], window=trained_window(config))
            assert costs.sum() == pytest.approx(scored.text_bits.sum(), rel=1e-6)


def test_the_page_carries_the_text_and_asks_for_nothing(bpe):
    cuts = [Cut.of(bpe, TEXT), Cut.of(compressors.get("zstd"), TEXT)]
    text = page(cuts, costs=[("model", np.ones(len(TEXT)))])
    assert text.count("</script>") == 2
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(|XMLHttp", text)
    facts = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    view = facts["parts"][0]["views"][0]
    assert sum(view["spans"]) == len(TEXT)
    needed = {s for s in view["ids"] if s >= 256}
    assert needed <= set(map(int, view["splits"]))


def test_a_notebook_draws_a_cut(bpe):
    html = Cut.of(bpe, TEXT)._repr_html_()
    assert html == fragment([Cut.of(bpe, TEXT)])
    assert "<b>" in html
    assert "</script>" not in html


@pytest.mark.skipif(browser.BROWSER is None, reason="needs a Chromium")
def test_a_browser_draws_every_byte(bpe, tmp_path):
    """The page's own script must show what `visible` shows, at every number of merges."""
    cut = Cut.of(bpe, TEXT)
    # Blocks out of the window are drawn when the page is printed.
    probe = """<script>addEventListener('load', () => {
      const slider = document.querySelector('input'); slider.value = 0; slider.oninput(); dispatchEvent(new Event('beforeprint'));
    });</script>"""
    (tmp_path / "page.html").write_text(page([cut], costs=[("model", np.ones(len(TEXT)))]) + probe)
    dom, console = browser.opened(
        f"file://{tmp_path}/page.html", tmp_path / "profile", until="</span>", milliseconds=3000
    )
    assert console == []
    blocks = re.findall(r'<div class="block"[^>]*>(.*?)</div>', dom, re.S)
    spans = re.findall(r"<span[^>]*>(.*?)</span>", blocks[0], re.S)
    assert len(spans) == len(TEXT), "with no merges every byte is a piece"
    letters = re.findall(r"<span[^>]*>(.*?)</span>", blocks[1], re.S)
    assert "".join(letters) == visible(TEXT).replace("<", "&lt;").replace(">", "&gt;")


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_bytes(TEXT)
    run = CliRunner().invoke
    done = run(proxyc, ["show", "def f(x): return x", "--view", "bpe:merges=256", "--view", "bytes", "--edit"])
    assert done.exit_code == 0, done.output
    assert "bpe:merges=256" in done.output
    done = run(proxyc, ["show", "a.py", "-o", "p.html", "--view", "bpe"])
    assert done.exit_code == 0
    assert f"p.html: 1 view of {len(TEXT)} bytes" in done.stderr
    with pytest.raises(InputError, match="exists already"):
        run(proxyc, ["show", "a.py", "-o", "p.html", "--view", "bpe"], catch_exceptions=False)
    assert run(proxyc, ["show", "a.py", "-o", "p.svg", "--view", "bpe"]).exit_code == 0
    picture = (tmp_path / "p.svg").read_text()
    assert picture.startswith("<svg")
    assert "url(" not in picture.replace("url(#", "")
    assert run(proxyc, ["show", "ab", "-o", "narrow.svg", "--view", "bytes"]).exit_code == 0
    widths = [int(re.search(r'width="(\d+)"', (tmp_path / name).read_text())[1]) for name in ("narrow.svg", "p.svg")]
    assert widths[0] < widths[1], "a picture is as wide as what it shows"
    with pytest.raises(InputError, match="no such file"):
        run(proxyc, ["show", "b.py"], catch_exceptions=False)
    piped = run(proxyc, ["show", "-", "--view", "bytes", "--bits"], input="ab")
    assert "neural codec" in piped.output


def test_no_terminal_no_columns_and_no_output(tmp_path, monkeypatch):
    """A closed standard output is an error; a page needs a folder that is there."""
    code = "import sys; sys.argv = ['proxyc', 'show', 'a text', '--view', 'bytes']; from proxylm.cli.main import main; main()"
    command = f'exec "{sys.executable}" -c "{code}" >&-'
    done = subprocess.run(["bash", "-c", command], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "proxyc: standard output is closed; write a page with -o page.html\n"
    with pytest.raises(InputError, match="its folder does not exist"):
        CliRunner().invoke(
            proxyc, ["show", "a b", "--view", "bytes", "-o", str(tmp_path / "no/p.html")], catch_exceptions=False
        )


def test_what_show_does_not_draw_and_what_it_takes_out(tmp_path):
    run = CliRunner().invoke
    assert "takes out w, byte 5" in run(proxyc, ["show", "helloworld", "--view", "bytes", "--edit"]).stderr
    with pytest.raises(InvalidConfig, match="only NAME:merges=K"):
        run(proxyc, ["show", "hello", "--view", "bpe:bags=4"], catch_exceptions=False)
    with pytest.raises(InputError, match="is a folder; name one file of it"):
        run(proxyc, ["show", str(tmp_path)], catch_exceptions=False)
    assert "1 symbol for 1 byte," in run(proxyc, ["show", "h", "--view", "bytes"]).output


def test_a_terminal_gets_no_control_character():
    assert shown("a\x1b[31m\n\tb\x07", keep="\n\t") == "a\\x1b[31m\n\tb\\x07"


def test_spans_of_any_integer_type_cut():
    """numpy adds int64 and uint64 to floats, which cut nothing."""
    for kind in (np.uint8, np.uint32, np.int64):
        cut = Cut("x", b"abc", np.array([1, 2], np.uint16), np.array([1, 2], kind))
        assert cut.pieces == [b"a", b"bc"]
        assert "2 symbols for 3 bytes" in str(cut)
