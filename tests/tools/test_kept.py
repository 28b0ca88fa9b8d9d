"""tools/kept.py and tools/processes.py: results are kept even if a measurement fails, and failures are stated."""

import sys

import pytest

from tests.tools.scripts import ROOT, script

kept, processes = (script(ROOT / "tools" / f"{name}.py") for name in ("kept", "processes"))


def test_records_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "results.jsonl"
    assert kept.read(file, int) == []
    kept.replace(file, [1, 2])
    kept.append(file, 3)
    assert kept.read(file, int) == [1, 2, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_a_measurement_that_does_not_end_leaves_the_earlier_records(tmp_path, error):
    def measured():
        yield 3
        raise error

    kept.replace(tmp_path / "results.jsonl", [1, 2])
    with pytest.raises(error):
        kept.replace(tmp_path / "results.jsonl", measured())
    assert kept.read(tmp_path / "results.jsonl", int) == [1, 2]
    assert len(list(tmp_path.iterdir())) == 1


def test_results_that_cannot_be_read_end_the_script_with_the_reason(tmp_path):
    (tmp_path / "results.jsonl").write_text("{}\n")
    with pytest.raises(SystemExit, match=r"results\.jsonl: line 1: "):
        kept.load(tmp_path / "results.jsonl")


def test_a_new_process_has_the_variables_and_a_failure_shows_the_output():
    code = "import os, sys; print(os.environ['ANSWER']); sys.exit(int(os.environ['STATUS']))"
    assert processes.output_of(sys.executable, "-S", "-c", code, variables={"ANSWER": "42", "STATUS": "0"}) == "42\n"
    with pytest.raises(SystemExit, match="exit 3\n42"):
        processes.output_of(sys.executable, "-S", "-c", code, variables={"ANSWER": "42", "STATUS": "3"})
