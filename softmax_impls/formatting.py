"""Format sizes, times, counts and exceptions for people."""

MAX_ERROR_CHARACTERS = 500
KERNEL_ERRORS = (Exception, SystemExit)  # what code of others may raise; KeyboardInterrupt belongs to the user


def one_line(error: BaseException) -> str:
    """Return an exception as one line of text: its type and its message."""
    try:
        text = " ".join(f"{type(error).__name__}: {error}".split())
    except Exception:  # the exception's own __str__ failed
        return type(error).__name__
    return text if len(text) <= MAX_ERROR_CHARACTERS else text[:MAX_ERROR_CHARACTERS] + "…"


def format_bytes(number: float) -> str:
    """Return a number of bytes with a decimal unit: 8.6 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= 0.99995 * size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} bytes"


def format_seconds(seconds: float) -> str:
    """Return a time with three significant digits: 34.2 µs."""
    for unit, scale in (("ns", 1e-9), ("µs", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def format_count(number: int, noun: str) -> str:
    """Return a number and its noun: "1 cell", "2 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
