"""The results that documents are made from: files in measurements/, most of them with a record on each line."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from softmax_impls.results import runs
from softmax_impls.user_cache import replacing

ROOT = Path(__file__).parents[1]
MEASUREMENTS = ROOT / "measurements"


def read(path: Path, kind: Any) -> list[Any]:
    """Return the records of a file, which are of this type; none if there is no file."""
    return msgspec.json.Decoder(kind).decode_lines(path.read_bytes()) if path.exists() else []


def append(path: Path, record: object) -> None:
    """Add a record to a file."""
    with path.open("ab") as file:
        file.write(msgspec.json.encode(record) + b"\n")


def replace(path: Path, records: Iterable[object]) -> None:
    """Replace the content of a file by these records.

    `records` may be an iterator that measures them. If it fails or is interrupted, the file keeps its old content.
    """
    with replacing(path) as file:
        file.writelines(msgspec.json.encode(record) + b"\n" for record in records)


def load(*paths: Path) -> tuple[runs.Run, ...]:
    """Return the runs of results files of `compare` and other tools. If a part can't be read, exit with the reasons."""
    loaded = runs.load(paths)
    if loaded.problems:
        raise SystemExit("\n".join(loaded.problems))
    return loaded.runs
