"""The command ``softmax-impls list``."""

from __future__ import annotations

import click

from softmax_impls.cli import options
from softmax_impls.report.terminal import tables
from softmax_impls.report.terminal.console import console, print_json

JSON_FIELDS = ("family", "summary", "accurate_for", "in_place", "requires", "threaded")


@click.command("list")
@options.impl
@options.peers
@options.as_json
def list_command(specs: tuple[str, ...], peers: bool, as_json: bool) -> None:
    """List the implementations, with a description and the temporary memory of each.

    \b
    Examples:
      softmax-impls list
      softmax-impls list --peers --json
    """  # noqa: D301
    usable, unusable = options.select(specs, peers)
    if as_json:
        records = {name: {field: getattr(usable[name], field) for field in JSON_FIELDS} for name in usable}
        print_json({"implementations": records, "not_available": unusable})
    else:
        console().print(tables.listing(usable, unusable))
