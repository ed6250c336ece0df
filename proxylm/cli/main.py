"""`proxyc`: a lazy group. A command's module is imported when the command runs, so that help needs neither torch nor numba."""

from __future__ import annotations

import os
import signal
import sys
import warnings

import click

from proxylm.cli.lazy import LazyGroup

# name -> (module:attribute, first line of its help). Strings, so that `bench` stays above this package.
COMMANDS = {
    "bench": ("bench.cli:bench", "Compare compressors, and what they do to a model."),
    "code-tasks": (
        "proxylm.cli.tasks:code_tasks",
        "Programs of a model for HumanEval+ and MBPP+, as evalplus reads them.",
    ),
    "codecs": ("compressors.cli.codecs:codecs", "List the registered compressors, plugins included."),
    "compress": ("compressors.cli.files:compress", "Compress files or a stream."),
    "convert": (
        "compressors.cli.codecs:convert",
        "Convert a BPE tokenizer: artifact, tokenizer.json, tiktoken's ranks.",
    ),
    "decompress": ("compressors.cli.files:decompress", "Decompress files or a stream."),
    "demo": ("bench.demo:demo", "The whole product in five minutes: fit, encode, train four ways, report."),
    "doctor": ("compressors.cli.codecs:doctor", "Check this installation."),
    "encode": ("proxylm.cli.store:encode", "Encode a corpus into a view store."),
    "eval": ("proxylm.cli.evaluate:evaluate", "Bits per byte of a trained model on held-out documents."),
    "export": ("proxylm.cli.evaluate:export", "Write a model as a Hugging Face checkpoint."),
    "fit": ("compressors.cli.codecs:fit", "Fit a compressor on a corpus."),
    "generate": ("proxylm.cli.evaluate:generate", "Continue a prompt, bytes in and bytes out."),
    "inspect": ("compressors.cli.files:inspect", "What a .pxc file says of itself."),
    "lm-eval": ("proxylm.cli.tasks:lm_eval", "Run tasks of lm-evaluation-harness on a model."),
    "show": ("proxylm.cli.show:show", "What a view does to a text: its pieces, symbols, and what bytes cost."),
    "store": ("proxylm.cli.store:store", "What is in a view store; --verify checks all of it."),
    "test": ("compressors.cli.files:test", "Check compressed files without writing anything."),
    "train": ("proxylm.cli.train:train", "Train a model on a view store."),
}
# Packages that come with an extra.
EXTRAS = {
    "torch": "train",
    "matplotlib": "bench",
    "numcodecs": "bridges",
    "fsspec": "bridges",
    "pyarrow": "parquet",
    "ray": "ray",
    "tensorboard": "bench",
    "lm_eval": "lm-eval",
    "evalplus": "evalplus",
    "transformers": "hf",
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proxyc")
def proxyc() -> None:
    """A compression toolkit for language modelling.

    Exit codes: 0 fine, 1 an error in one line, 2 wrong usage.
    """


def main() -> None:
    """Entry point: errors that are the input's or the system's fault are one line, bugs keep their traceback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # it is ignored where a script starts us in the background
            signal.signal(number, _end)
    warnings.showwarning = lambda message, *_: click.echo(f"proxyc: {message}", err=True)  # one line, as errors have
    try:
        proxyc()
    except BrokenPipeError:
        # Who reads our output has gone. Nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        _fail(f"this command needs {error.name}, which is not installed: pip install 'proxyc[{EXTRAS[error.name]}]'")
    except Exception as error:
        from compressors.errors import ProxycError, in_one_line  # here: help needs none of it

        if "no locator available" in str(error):  # numba's
            _fail("there is no writable folder for compiled kernels; set NUMBA_CACHE_DIR to one")
        if not isinstance(error, (ProxycError, OSError)):  # a full disk, a folder that may not be written
            raise
        _fail(in_one_line(error))


def _end(number: int, _: object) -> None:
    """Remove what is half written, and end by the signal, as the caller expects.

    Unwinding would wait for what the threads are at, which nobody wants any more: 96 s for two blocks of `neural`.
    """
    if "compressors.atomic" in sys.modules:
        sys.modules["compressors.atomic"].discard_unfinished()
    if sys.stderr is not None and sys.stderr.isatty():
        click.echo("\033[?25h", err=True)  # the cursor, which a progress bar hides
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _fail(message: str) -> None:
    click.echo(f"proxyc: {message}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
