"""``keraserve classify``: images on disk to labels, in this process or through a server."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from app.artifacts.manifest import read_manifest
from app.bulk.formats import FORMATS, RESUMABLE, Format, format_of
from app.bulk.inputs import InputError, Inputs
from app.bulk.records import Answering, Classifier
from app.bulk.result_file import (
    Earlier,
    ResultFileError,
    Sink,
    growing_file,
    new_file,
    read_earlier,
    standard_output,
)
from app.bulk.stopping import Stop
from app.bulk.tally import Tally
from app.commands.admin import RequestFailedError, is_for_server, key_of
from app.commands.stored_version import find_version
from app.progress_bar import ProgressBar
from app.settings import COMMAND_LINE_KEY, ENV_PREFIX, SettingsError, load_settings

if TYPE_CHECKING:
    from app.client.calls import ClassifyOptions

_DESCRIPTION = """\
Classifies files, all images of a folder (--recursive: and below it), or what a quoted pattern
matches; - is the standard input. Without --url it loads the model into this process, as a server
would, and needs none; with --url it asks a server, with many requests at once, behind those of
people (priority=bulk), and comes back when a busy server says.

  keraserve classify photo.jpg
  keraserve classify photos --recursive --format csv --output labels.csv
  keraserve classify 'photos/**/*.png' --format jsonl --output labels.jsonl --resume
  keraserve classify photos --url http://127.0.0.1:8000 --model fashion_mnist

Results come in the order of the files: arguments as given, the files of each sorted by name. Where
the folder of a file is called as a label of the model, the accuracy is told at the end.

Broken files are entries with an error, and are named at the end. Ctrl-C ends it and keeps what was
done; the same command with --resume goes on. That takes --output with jsonl or csv, whose rows are
written as they come; a row that was cut off is mended, and nothing is classified twice. A table or
a json file appears as a whole at the end. Files that exist are not written over. A second Ctrl-C
waits for nothing.

Exit code 0; 1: files were broken, or it could not go on (no server, no room on the disk); 2:
nothing was done, for the reason that it says; 130: interrupted.
"""

_URL_VARIABLE = f"{ENV_PREFIX}URL"
_FAILED, _SIGNALLED = 1, 128
_DEFAULT_TOP_K = 5
_MOST_DECODERS = 4
"""As many as a server has: decoding holds the interpreter for half of its time."""
_CONCURRENCY = 16
"""Two batches of a small CPU server: one executes, the next one gathers."""
_TIMEOUT_S = 120.0
"""For people to be served before us; what takes longer is no burst any more."""


def add_classify_command(commands: Any) -> None:
    """Add the command to the parsers of ``keraserve``."""
    command = commands.add_parser(
        "classify",
        help="label images on disk, here or through a server",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("paths", nargs="+", metavar="PATH", help="file, folder, 'pattern' or -")
    command.add_argument("--recursive", action="store_true", help="look into folders in folders")
    _add_answering(command)
    command.add_argument(
        "--top-k",
        type=_count,
        metavar="N",
        help=f"labels per image, best first (default: 1 in a table, else {_DEFAULT_TOP_K})",
    )
    command.add_argument("--format", choices=FORMATS, default="table", help="default: table")
    command.add_argument(
        "--output", type=Path, metavar="FILE", help="a new file; default: the standard output"
    )
    command.add_argument(
        "--resume",
        action="store_true",
        help=f"go on with FILE ({' or '.join(RESUMABLE)}) where it ends; without FILE, begin it",
    )
    command.add_argument(
        "--concurrency",
        type=_count,
        metavar="N",
        help=f"with --url: requests at a time (default: {_CONCURRENCY}); else threads that decode "
        f"(default: one per core, up to {_MOST_DECODERS})",
    )
    command.set_defaults(command=_classify)


def _add_answering(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--url",
        metavar="URL",
        help=f"address of a server [{_URL_VARIABLE}]; without, the model is loaded here",
    )
    command.add_argument("--model", metavar="NAME", help="default: the configured default model")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--version", type=_count, metavar="N", help="default: the one that answers")
    which.add_argument("--label", metavar="LABEL", help="the version that a label points at")
    command.add_argument(
        "--model-dir", metavar="FOLDER", help=f"the store [{ENV_PREFIX}MODEL_DIR, default: models]"
    )
    command.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help=f"file with an API key of the scope infer [or the key in {COMMAND_LINE_KEY}]",
    )
    command.add_argument(
        "--timeout-s",
        type=_seconds,
        default=_TIMEOUT_S,
        metavar="S",
        help="with --url: for one image, waiting for a busy server included "
        f"(default: {_TIMEOUT_S:g})",
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 1:  # argparse says which argument it is
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number <= 86_400:
        raise ValueError(text)
    return number


def _classify(options: argparse.Namespace) -> int:
    _check_output(options)
    inputs = Inputs(options.paths, recursive=options.recursive)
    with contextlib.ExitStack() as closing:
        classifier = closing.enter_context(_classifier(options))
        top_k = _top_k(options, classifier.answering)
        form = format_of(options.format, classifier.answering, top_k)
        earlier = Earlier()
        if options.resume:
            earlier = read_earlier(options.output, options.format, form.head())
            _check_same_version(options, earlier, classifier.answering)
        sink = closing.enter_context(_sink(options, earlier))
        try:
            return _Run(options, classifier, inputs, earlier, form, sink).carry_out(top_k)
        except BrokenPipeError:  # who reads our output has enough
            _discard_output()
            return _FAILED
        except ResultFileError as error:  # no room any more: what was written stays
            if options.output is None:
                _discard_output()
            raise RequestFailedError(str(error)) from error


def _discard_output() -> None:
    """Let nothing come that could not be written and would be tried again at the very end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _check_output(options: argparse.Namespace) -> None:
    """Complain before anything is loaded."""
    output = options.output
    if options.resume and output is None:
        raise SettingsError("--resume goes on with a file: name it (--output)")
    if options.resume and options.format not in RESUMABLE:
        raise SettingsError(
            f"--resume goes on with {' or '.join(RESUMABLE)}, not with {options.format} (--format)"
        )
    if output is None:
        return
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise SettingsError(
            f"{output} cannot be written: it is a folder, or its folder is not there"
        )
    if output.exists() and not options.resume:
        raise SettingsError(
            f"{output} exists: --resume goes on with it, or name another (--output)"
        )


def _check_same_version(
    options: argparse.Namespace, earlier: Earlier, answering: Answering
) -> None:
    if earlier.answering not in (None, str(answering)):
        raise SettingsError(
            f"{options.output} has answers of {earlier.answering}, now {answering} would answer: "
            "name the version (--model, --version), or another file (--output)"
        )


def _top_k(options: argparse.Namespace, answering: Answering) -> int:
    most = len(answering.classes)
    if options.top_k is None:
        return 1 if options.format == "table" else min(_DEFAULT_TOP_K, most)
    if options.top_k > most:
        raise SettingsError(f"--top-k is {options.top_k}; {answering} has {most} labels")
    return int(options.top_k)


def _sink(options: argparse.Namespace, earlier: Earlier) -> contextlib.AbstractContextManager[Sink]:
    if options.output is None:
        return standard_output()
    if options.format in RESUMABLE:
        return growing_file(options.output, earlier)
    return new_file(options.output)


@contextlib.contextmanager
def _classifier(options: argparse.Namespace) -> Iterator[Classifier]:
    if is_for_server(options):
        yield _remote(options)
        return
    # Imported here, as in `serve`: who asks a server needs neither.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from app.bulk.local import LocalClassifier, LocalPolicy
    from app.imaging.quiet import quieten_pillow
    from app.runtime.loader import load_servable
    from app.runtime.preparing import prepare_servable

    settings = load_settings(model_dir=options.model_dir)
    number = None if options.version is None else str(options.version)
    stored = find_version(settings, options.model, number, options.label or "stable")
    manifest = read_manifest(stored.folder)
    servable, _ = prepare_servable(stored.folder, manifest, settings.engine_policy(), load_servable)
    quieten_pillow()
    policy = LocalPolicy(
        settings.imaging_policy(),
        settings.max_upload_bytes,
        settings.max_batch_size,
        options.concurrency or min(_MOST_DECODERS, os.cpu_count() or 1),
    )
    try:
        yield LocalClassifier(servable, manifest, policy)
    finally:
        servable.close()


def _remote(options: argparse.Namespace) -> Classifier:
    from app.bulk.remote import RemoteClassifier, RemotePolicy
    from app.client import KeraserveError

    asked: ClassifyOptions = {}
    if options.model is not None:
        asked["model"] = options.model
    if options.version is not None:
        asked["version"] = options.version
    if options.label is not None:
        asked["label"] = options.label
    try:
        return RemoteClassifier(
            RemotePolicy(
                options.url or os.environ[_URL_VARIABLE],
                key_of(options),
                options.concurrency or _CONCURRENCY,
                options.timeout_s,
                asked,
            )
        )
    except (KeraserveError, RequestFailedError, ValueError) as error:
        raise SettingsError(str(error)) from error


@dataclass(frozen=True, slots=True)
class _Run:
    """From the files to the last line of what is told."""

    options: argparse.Namespace
    classifier: Classifier
    inputs: Inputs
    earlier: Earlier
    form: Format
    sink: Sink

    def carry_out(self, top_k: int) -> int:
        """Classify what has no result yet; return the exit code."""
        stop, tally = Stop(), Tally(self.classifier.answering.classes)
        began_s = perf_counter()
        with stop.by_signals():
            cut_short = self._classify(stop, tally, top_k)
        if self.earlier.files:
            _tell(f"{len(self.earlier.files):,} had been done before")
        for line in (*tally.failures(), *tally.summary(perf_counter() - began_s)):
            _tell(line)
        if cut_short is not None:
            _tell(cut_short)
        if stop.signal is not None or cut_short is not None:
            _tell(f"ended before all were done; {self._how_to_go_on()}")
        if stop.signal is not None:
            return _SIGNALLED + stop.signal
        return _FAILED if tally.failed or cut_short is not None else 0

    def _classify(self, stop: Stop, tally: Tally, top_k: int) -> str | None:
        """Return what ended it too early; None where nothing has, or where it was told to stop."""
        from app.client import KeraserveError

        pending = (file for file in self.inputs if file not in self.earlier.files)
        bar = self._progress_bar()
        try:
            if not self.earlier.has_head:
                self.sink.write(self.form.head())
            for results in self.classifier.run(pending, stop, top_k):
                self.sink.write("".join([self.form.row(result) for result in results]))
                tally.add(results)
                broken = f", {tally.failed:,} broken" if tally.failed else ""
                bar.update(tally.total, broken)
        except (KeraserveError, InputError) as error:  # a folder may vanish meanwhile
            return str(error)
        finally:
            bar.close()
            self.sink.write(self.form.tail())
        return None

    def _progress_bar(self) -> ProgressBar:
        # A bar among results on one terminal would be torn apart by them.
        is_apart = self.options.output is not None or not sys.stdout.isatty()
        left = max(self.inputs.count - len(self.earlier.files), 0)
        return ProgressBar(left, sys.stderr, is_enabled=is_apart)

    def _how_to_go_on(self) -> str:
        if self.options.output is None:
            return "what was done is above"
        if self.options.format in RESUMABLE:
            return f"{self.options.output} has what was; --resume goes on with it"
        return f"{self.options.output} has what was"


def _tell(line: str) -> None:
    print(f"keraserve: {line}", file=sys.stderr, flush=True)
