"""The tasks that run in a Dask worker. They start a process that measures, and pass its messages on.

Kernels are not measured in the worker's own process, because Dask samples its threads every 10 ms and makes malloc
return memory to the system early. There, `closed_form` took 8 times as long as in a user's program (256×512 float64,
znver3).
"""

import os
import subprocess
import sys
import tempfile
from contextlib import suppress


class _Process:
    """A process that a worker starts to measure. It ends when its standard input is closed, so it ends with the worker.

    It has a folder for the user's modules. The worker kills the process and deletes the folder, and the process does
    both itself if the worker was killed. So the process waits for the worker also after its last message.
    """

    def __init__(self, order: bytes) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # it is open as long as the process
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "softmax_impls.commands.fleet.host", self._folder.name],
            env=_plain_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        assert self._process.stdin
        with suppress(BrokenPipeError):  # `read` says why the process has ended
            self._process.stdin.write(order + b"\n")
            self._process.stdin.flush()

    def read(self) -> bytes:
        """Return the next message; RuntimeError if the process has ended."""
        assert self._process.stdout
        if line := self._process.stdout.readline():
            return line
        status = self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().decode(errors="replace").strip().splitlines()[-1:]
        how = f"signal {-status}" if status < 0 else f"status {status}"
        raise RuntimeError(": ".join([f"the measuring process ended with {how}", *last]))

    def stop(self) -> None:
        """Kill the measuring process, and remove its folder."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


_processes: list[_Process] = []  # the process of this worker; at most one


def start(order: bytes) -> bytes:
    """Start a process that carries out an order, and return its first message."""
    stop()
    _processes.append(_Process(order))
    return _processes[-1].read()


def next_message() -> bytes:
    """Return the next message of the measuring process; RuntimeError if it has ended, because the worker restarted."""
    if not _processes:
        raise RuntimeError("the worker has restarted, and its measuring process has ended")
    return _processes[-1].read()


def stop() -> None:
    """End the process, if this worker has one."""
    while _processes:
        _processes.pop().stop()


def _plain_environment() -> dict[str, str]:
    """Return the environment without the variables that Dask sets for a worker, which change malloc and BLAS."""
    import dask

    preset = dask.config.get("distributed.nanny.pre-spawn-environ", {})
    return {name: value for name, value in os.environ.items() if str(preset.get(name)) != value}
