"""The notebook of the documents runs, and its cells do what their texts state."""

import json

import pytest

from tests.tools.scripts import ROOT

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def code_cells():
    """Yield the code of each cell without the lines that only IPython understands, and with short budgets."""
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            lines = [line for line in cell["source"] if not line.startswith("%")]
            yield "".join(lines).replace("budget=10", "budget=1").replace("budget=3", "budget=1")


@pytest.fixture
def names(tmp_path, monkeypatch):
    """The names that the cells define, after all of them have run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    found = {}
    for code in code_cells():
        exec(compile(code, NOTEBOOK.name, "exec"), found)
    return found


@pytest.mark.slow
def test_cells_run_in_their_order(names, tmp_path):
    assert names["verdict"].right
    assert set(names["frame"]["implementation"]) == {"mine", "numba_simd", "pivoted"}
    assert (tmp_path / "my-results" / "report.html").exists()
    code = str(names["answer"].usage)
    exec(compile(code, "pasted", "exec"), pasted := {})
    assert pasted["out"].any()


def test_stored_outputs_are_of_the_cells_and_without_errors():
    cells = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {"execute_result", "display_data", "stream"}
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("text/html" in output.get("data", {}) for output in outputs)
