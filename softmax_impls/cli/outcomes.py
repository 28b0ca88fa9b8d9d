"""The picture and the JSON output of `compare`, for one machine and for a fleet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softmax_impls.formatting import format_count

if TYPE_CHECKING:  # imported when the command runs
    from softmax_impls.choice.ranking import Ranked
    from softmax_impls.commands.comparison import Comparison
    from softmax_impls.commands.fleet.comparison import FleetComparison


def draw_winners(places: Mapping[str, Sequence["Ranked"]], picture: Path) -> tuple[Path | None, list[str]]:
    """Draw the winners at each place. Return the picture, None if there is none, and a line if it can't be written."""
    if not any(places.values()):
        return None, []
    from softmax_impls.report.maps import winners_maps  # it imports matplotlib
    from softmax_impls.report.style import save

    try:
        save(winners_maps(places), picture)
    except OSError as error:
        return None, [f"{picture} can't be written: {error}"]
    return picture, []


def print_outcome(
    measured: Mapping[str, Any], comparison: "Comparison | FleetComparison", picture: Path | None, notes: list[str]
) -> None:
    """Print the results as JSON, with the recommendation, the files and the notes."""
    from softmax_impls.report.terminal.console import print_json

    print_json(
        {
            **measured,
            "recommendation": comparison.recommendation(),
            "interrupted": comparison.interrupted,
            "seconds": comparison.seconds,
            "results": str(comparison.file),
            "picture": picture and str(picture),
            "notes": notes,
        }
    )


def print_end(
    cells: int, comparison: "Comparison | FleetComparison", picture: Path | None, notes: Sequence[str]
) -> None:
    """Print the text after the tables: notes, the recommendation, and "3 cells in 60 s; results.jsonl, winners.png"."""
    from softmax_impls.report.terminal.console import print_lines

    advice, files = comparison.recommendation(), ", ".join(str(file) for file in (comparison.file, picture) if file)
    last = f"{format_count(cells, 'cell')} in {comparison.seconds:.0f} s; {files}"
    print_lines([*notes, *(["", *advice] if advice else []), "", last])
