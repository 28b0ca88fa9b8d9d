"""The process that measures on a host of a fleet: ``python -m softmax_impls.commands.fleet.host FOLDER``.

It writes the user's modules to FOLDER, which is empty at first.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import msgspec

from softmax_impls.commands.fleet import messages
from softmax_impls.formatting import format_count
from softmax_impls.registry import from_specs
from softmax_impls.report.terminal.tables import failures
from softmax_impls.threads import available_cores
from softmax_impls.timing.environment import environment, fingerprint, largest_temporaries
from softmax_impls.timing.session import Session, Skipped, plan

ATTEMPTS = 20  # to delete the folder: while one runs, a module that is imported may write its bytecode to the folder


def carry_out(order: messages.Order, send: Callable[[messages.Message], None]) -> None:
    """Check the implementations and measure the cells, as `compare` does without a fleet. Pass messages to `send`."""
    try:
        usable, unusable = from_specs(order.specs, peers=order.peers)
    except (ValueError, ImportError) as error:
        send(messages.Refused(str(error)))
        return
    if order.only is not None:
        usable = {name: record for name, record in usable.items() if name in order.only or record.family == "peer"}
    cores, here = available_cores(), environment(order.machine)
    keys = [key for key in order.keys if key.threads <= cores]
    sources = {name: fingerprint(record.kernel) for name, record in usable.items()}
    send(messages.Started(here, sources, unusable, len(plan(keys))))
    for key in order.keys:
        if key.threads > cores:
            send(messages.NotMeasured(key, f"this kind has {format_count(cores, 'processor')}"))
    memory = largest_temporaries() if order.max_memory is None else int(order.max_memory)
    session = Session(usable, order.budget, memory, order.seed)
    if keys:
        session.prepare(sorted({key.dtype for key in keys}), lambda seconds: send(messages.Late(seconds)))
    for outcome in session.run(keys, lambda key: send(messages.Measuring(key, session.seconds_left))):
        if isinstance(outcome, Skipped):
            send(messages.NotMeasured(*outcome))
        else:
            send(messages.Measured(msgspec.structs.replace(outcome, environment=here)))
    send(messages.Ended(failures(session.verdicts.values())))


def main() -> None:
    """Read a request from standard input, measure its cells, and write messages to standard output."""
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # the output of a kernel that prints goes to standard error
    line, folder = sys.stdin.buffer.readline(), sys.argv[1]
    if not line:  # the worker has died before it sent the request
        _end_with_worker(sys.stdin.buffer, folder)
    order = msgspec.json.decode(line, type=messages.Order)
    watch = threading.Thread(target=_end_with_worker, args=(sys.stdin.buffer, folder), daemon=True)
    watch.start()

    def send(message: messages.Message) -> None:
        output.write(msgspec.json.encode(message) + b"\n")
        output.flush()

    for name, content in order.files.items():
        file = Path(folder, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    sys.path.insert(0, folder)
    with suppress(BrokenPipeError):  # the worker has died
        carry_out(order, send)
    watch.join()  # the folder exists until the worker deletes it, or dies


def _end_with_worker(stream: BinaryIO, folder: str) -> None:
    stream.read()  # returns when the worker has died
    for _ in range(ATTEMPTS):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            break
        time.sleep(0.1)
    os._exit(1)


if __name__ == "__main__":
    main()
