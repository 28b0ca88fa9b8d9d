"""The request that a comparison sends to a host of its fleet, and the host's messages. Each is a line of JSON."""

from msgspec import Struct

from softmax_impls.timing.records import Cell, Environment
from softmax_impls.timing.workloads import CellKey


class Order(Struct):
    """The cells that a host has to measure, with the options of `compare`."""

    keys: list[CellKey]
    specs: list[str]  # values of --impl
    budget: float  # seconds
    peers: bool = False
    max_memory: float | None = None  # bytes
    machine: str | None = None
    seed: int = 0
    only: list[str] | None = None  # names of the implementations that take part, beside peers; None for all
    files: dict[str, bytes] = {}  # the user's modules, by path relative to a folder of `sys.path`


class Started(Struct, tag=True):
    """The message that the host has loaded the implementations, and begins to check them."""

    environment: Environment
    sources: dict[str, str]  # fingerprints of the implementations, by name
    unusable: dict[str, str]  # the reasons why other implementations are not available, by name
    steps: int  # number of planned steps; in a step, one cell is measured


class Late(Struct, tag=True):
    """The message that the measurement will take longer than its budget."""

    seconds: float  # that the measurement will take in all


class Measuring(Struct, tag=True):
    """Sent when a step of the measurement begins: the cell with the key `key` is measured next."""

    key: CellKey
    seconds_left: float  # of the budget


class Measured(Struct, tag=True):
    """The message with the record of a cell after a step; the record of a later step replaces it."""

    cell: Cell


class NotMeasured(Struct, tag=True):
    """The message that a cell is skipped."""

    key: CellKey
    why: str


class Refused(Struct, tag=True):
    """The message that the host cannot carry out the order that it received."""

    why: str


class Ended(Struct, tag=True):
    """The message that all cells are measured or skipped."""

    failures: list[str]  # lines about implementations that the checks reject


Message = Started | Late | Measuring | Measured | NotMeasured | Refused | Ended
