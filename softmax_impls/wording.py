"""How sizes, times and other people's exceptions are put into words."""

from __future__ import annotations

LONGEST = 500  # characters of what was raised
RAISED = (Exception, SystemExit)  # what a kernel or a module of somebody else's may raise; Ctrl-C is the user's own


def told(error: BaseException) -> str:
    """Return an exception in one line."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return text if len(text) <= LONGEST else text[:LONGEST] + "…"
    except Exception:  # its own __str__ failed
        return type(error).__name__


def in_bytes(number: float) -> str:
    """Return a number of bytes as people write it: 8.6 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} bytes"


def in_seconds(seconds: float) -> str:
    """Return a time as people write it: 34 µs, three significant digits."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"
