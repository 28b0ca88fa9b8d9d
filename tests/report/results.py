"""Results as `compare` writes them, of any shape and with any names."""

import json

ROW = {
    "schema": 1,
    "note": "",
    "accurate_for": "logits",
    "source": "0",
    "workload": "grid",
    "dtype": "float32",
    "status": "timed",
    "control": False,
    "threads": 1,
    "calls_per_sample": 1,
    "temporary_bytes": 1000,
    "machine": {"cpu": "a cpu", "cores": 2, "system": "Linux"},
    "versions": {"numpy": "2.4.6"},
    "errors": {"ordinary": 1e-7},
    "first_call_seconds": 0.1,
    "compiler_start_seconds": 0.1,
    "time": "2026-01-01T00:00:00+00:00",
    "commit": "c0ffee",
}


def cell(times, batch=16, dim=16, rounds=12, limit=1e-7, **changes):
    """Return the lines of a cell; each implementation's samples go up by a thousandth from round to round."""
    lines = []
    for name, seconds in {**times, "limit": limit}.items():
        samples = [seconds * (1 + i / 1000) for i in range(rounds)]
        status = {"status": "limit"} if name == "limit" else {}
        one = {"implementation": name, "batch": batch, "dim": dim, "samples": samples, "seconds": seconds}
        lines.append(json.dumps({**ROW, **one, "rows_in_cell": len(times) + 1, **changes, **status}) + "\n")
    return "".join(lines)


def square(sizes=(16, 256, 4096), **changes):
    """Return the lines of a grid where a time is 1 ns · batch · dim for `slow`, and half of that for `quick`."""
    return "".join(cell({"slow": 1e-9 * b * d, "quick": 0.5e-9 * b * d}, b, d, **changes) for b in sizes for d in sizes)
