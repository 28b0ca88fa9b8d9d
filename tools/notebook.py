"""Run the cells of docs/notebook.ipynb in an empty folder, and keep their outputs.

``python tools/notebook.py`` takes half a minute. It needs ``pip install nbclient ipykernel``.
"""

from __future__ import annotations

import copy
import os
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def main() -> None:
    """Run the notebook, and write it, without progress lines and without the names of this machine and its Python."""
    os.environ["SOFTMAX_IMPLS_MACHINE"] = "notebook"
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    metadata = copy.deepcopy(notebook.metadata)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, record_timing=False, resources={"metadata": {"path": folder}}).execute()
    notebook.metadata = metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
