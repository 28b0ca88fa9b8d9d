"""Files of results for the tests of this folder."""

import pytest


@pytest.fixture
def write(tmp_path):
    def write(text, name="results.json"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    return write
