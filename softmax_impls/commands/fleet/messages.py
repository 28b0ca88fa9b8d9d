"""What a comparison sends to a host of its fleet, and what the host answers. Each is a line of JSON."""

from msgspec import Struct

from softmax_impls.timing.records import Cell, Environment
from softmax_impls.timing.workloads import CellKey


class Order(Struct):
    """What a host has to measure, with the options of `compare`."""

    keys: list[CellKey]
    specs: list[str]  # of --impl
    budget: float  # seconds
    peers: bool = False
    max_memory: int | None = None
    machine: str | None = None
    seed: int = 0
    files: dict[str, bytes] = {}  # the user's modules, by path relative to a folder of `sys.path`


class Started(Struct, tag=True):
    """The implementations take part, and are not checked yet."""

    environment: Environment
    sources: dict[str, str]  # their fingerprints, by name
    unusable: dict[str, str]  # the reasons of the others, by name
    steps: int  # of the plan


class Late(Struct, tag=True):
    """The measurement will take longer than its budget."""

    seconds: float


class Measuring(Struct, tag=True):
    """A step begins."""

    key: CellKey
    seconds_left: float


class Measured(Struct, tag=True):
    """The record of a cell after a step; the record of a later step replaces it."""

    cell: Cell


class NotMeasured(Struct, tag=True):
    """A cell is skipped."""

    key: CellKey
    why: str


class Refused(Struct, tag=True):
    """The order cannot be carried out here."""

    why: str


class Ended(Struct, tag=True):
    """All cells are measured or skipped."""

    failures: list[str]  # of the checks


Message = Started | Late | Measuring | Measured | NotMeasured | Refused | Ended
