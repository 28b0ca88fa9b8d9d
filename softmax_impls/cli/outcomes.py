"""What `compare` does alike with the results of one machine and of a fleet: draw the picture, and print JSON."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported when the command runs
    from softmax_impls.choice.ranking import Ranked
    from softmax_impls.commands.comparison import Comparison
    from softmax_impls.commands.fleet.comparison import FleetComparison


def draw_winners(places: Mapping[str, Sequence["Ranked"]], picture: Path) -> list[str]:
    """Draw the winners at each place that has results; return a line if the picture can't be written."""
    from softmax_impls.report.maps import winners_maps  # it imports matplotlib
    from softmax_impls.report.style import save

    try:
        if any(places.values()):
            save(winners_maps(places), picture)
    except OSError as error:
        return [f"{picture} can't be written: {error}"]
    return []


def print_outcome(
    measured: Mapping[str, Any], comparison: "Comparison | FleetComparison", picture: Path, notes: list[str]
) -> None:
    """Print what was measured as JSON, with the recommendation, the files and the notes."""
    from softmax_impls.report.terminal.console import print_json

    print_json(
        {
            **measured,
            "recommendation": comparison.recommendation(),
            "interrupted": comparison.interrupted,
            "seconds": comparison.seconds,
            "results": str(comparison.file),
            "picture": str(picture),
            "notes": notes,
        }
    )
