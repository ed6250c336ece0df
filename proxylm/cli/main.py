"""`proxyc`: a lazy group. A command's module is imported when the command runs, so that help needs neither torch nor numba."""

from __future__ import annotations

import io
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
    "doctor": ("proxylm.cli.doctor:doctor", "Check this installation, or a GPU for training."),
    "encode": ("proxylm.cli.store:encode", "Encode a corpus into a view store."),
    "eval": ("proxylm.cli.evaluate:evaluate", "Bits per byte of a trained model on held-out documents."),
    "export": ("proxylm.cli.evaluate:export", "Write a model as a Hugging Face checkpoint."),
    "fit": ("compressors.cli.codecs:fit", "Fit a compressor on a corpus."),
    "generate": ("proxylm.cli.evaluate:generate", "Continue a prompt, bytes in and bytes out."),
    "inspect": ("compressors.cli.checking:inspect", "What a compressed file or an artifact says of itself."),
    "lm-eval": ("proxylm.cli.tasks:lm_eval", "Run tasks of lm-evaluation-harness on a model."),
    "push": ("proxylm.cli.push:push", "Publish an artifact or an exported model on the Hugging Face Hub."),
    "report": ("bench.report.command:report", "Charts of runs, as one page or as pictures."),
    "show": ("proxylm.cli.show:show", "What a view does to a text: its pieces, symbols, and what bytes cost."),
    "store": ("proxylm.cli.store:store", "What is in a view store; --verify checks all of it."),
    "test": ("compressors.cli.checking:test", "Check compressed files without writing anything."),
    "train": ("proxylm.cli.train:train", "Train a model on a view store."),
}
# Packages that come with an extra.
EXTRAS = {
    "torch": "train",
    "altair": "report",
    "vl_convert": "report",
    "numcodecs": "bridges",
    "zarr": "bridges",
    "fsspec": "bridges",
    "pyarrow": "parquet",
    "ray": "ray",
    "tensorboard": "trackers",
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


# Signals that end us unless they are ignored, as by `nohup` or a script that starts us in the background.
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU") if hasattr(signal, name)]


def main() -> None:
    """Entry point: errors that are the input's or the system's fault are one line, bugs keep their traceback."""
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    warnings.showwarning = lambda message, *_: click.echo(f"proxyc: {message}", err=True)  # one line, as errors have
    _take_every_byte()
    # Threads of OpenMP sleep while they wait for work, unless the user says otherwise. They spin by default: beside four or more
    # busy processes on two cores a training of 60 small steps took 353 s of wall time so, and 20 s with this.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        code = _ran()
        if not code and sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BrokenPipeError:  # who reads our output has gone
        code = 1
    except OSError as error:  # of the output, when all else is done
        code = _failed(error)
    if code:
        _drop_output()
    if os.environ.get("WORLD_SIZE", "1") != "1" and not isinstance(code, str):
        # torch's caches keep the groups of sharded runs, whose threads abort a finished process now and then as Python ends.
        os._exit(code or 0)
    sys.exit(code)


def _ran() -> int | str | None:
    """Run the command; its exit code. Raises `BrokenPipeError`, and what is a bug."""
    try:
        from compressors.cli.options import as_command

        piped = all(stream is not None and not stream.isatty() for stream in (sys.stdin, sys.stdout))
        proxyc(as_command(sys.argv[1:], piped=piped))
    except SystemExit as end:
        return end.code
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        return _said(
            f"this command needs {error.name}, which is not installed: pip install 'proxyc[{EXTRAS[error.name]}]'"
        )
    except Exception as error:
        return _failed(error)
    return 0


def _take_every_byte() -> None:
    """Put a buffer between text and a raw file, which Python has under PYTHONUNBUFFERED: it may take a part of a write."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        raw = getattr(stream, "buffer", None)
        if isinstance(raw, io.RawIOBase):
            buffered = io.BufferedWriter(raw)
            again = io.TextIOWrapper(buffered, stream.encoding, stream.errors, line_buffering=True)
            setattr(sys, name, again)


def _drop_output() -> None:
    """Let nothing more be written, at exit either: it failed once, and would end us with 120 and a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


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


def _failed(error: Exception) -> int:
    """One line for an error of the input or the system; a bug is raised again."""
    from compressors.errors import ProxycError, in_one_line  # here: help needs none of it

    if not isinstance(error, (ProxycError, OSError, MemoryError)):  # a full disk, a folder that may not be written
        raise error
    return _said(in_one_line(error))


def _said(message: str) -> int:
    """Print one line to standard error; exit code 1."""
    from compressors.cli.shown import shown

    click.echo(f"proxyc: {shown(message)}", err=True)
    return 1


if __name__ == "__main__":
    main()
