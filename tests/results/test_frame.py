"""The table of results."""

import datetime

import numpy as np
import pandas as pd
import pytest

from softmax_impls.results import store
from softmax_impls.results.frame import COLUMNS, to_frame
from softmax_impls.results.runs import load
from tests.results.examples import SECONDS, cell, full_cell, kernel

TIME = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
PRUNED = kernel("x", status="pruned", note="needs 9 GB", verified=False, samples=(), seconds=None, errors={})


@pytest.fixture
def frame(tmp_path):
    file = tmp_path / "a.jsonl"
    store.write(file, [full_cell(1), cell(2, (kernel(samples=(SECONDS,), seconds=SECONDS), PRUNED), time=TIME)])
    return to_frame(load([file]).runs)


def test_there_is_a_row_for_each_kernel_and_cell(frame):
    assert list(frame.columns) == list(COLUMNS)
    assert frame[["batch", "implementation"]].values.tolist() == [[1, "a"], [1, "b"], [2, "pivoted"], [2, "x"]]


def test_a_timed_kernel_has_its_median_interval_and_samples(frame):
    row = frame.iloc[0]
    assert row.low <= row.seconds <= row.high
    assert row.samples == [SECONDS, 1.1 * SECONDS]
    assert row.roofline_seconds == pytest.approx(1.05e-5)
    assert row.blocks == [1, 1]
    assert row.error == 1e-6
    assert row.verified


def test_one_sample_has_no_interval(frame):
    assert np.isnan([frame.low[2], frame.high[2]]).all()


def test_a_kernel_without_a_time_has_the_reason(frame):
    row = frame.iloc[3]
    assert (row.status, row.note, row.verified) == ("pruned", "needs 9 GB", False)
    assert np.isnan([row.seconds, row.low, row.error]).all()


def test_times_are_in_utc_and_may_be_missing(frame):
    assert frame.time.isna().tolist() == [True, True, False, False]
    assert frame.time[2] == pd.Timestamp(TIME)


@pytest.mark.parametrize("year", [1970, 2199])
def test_every_year_that_is_accepted_fits_the_table(tmp_path, year):
    store.write(tmp_path / "a.jsonl", [cell(time=TIME.replace(year=year))])
    assert to_frame(load([tmp_path]).runs).time.dt.year.tolist() == [year]


def test_a_table_of_no_runs_has_the_columns():
    frame = to_frame([])
    assert list(frame.columns) == list(COLUMNS)
    assert frame.empty


def test_a_csv_file_of_the_table_is_read_back(frame, tmp_path):
    frame.to_csv(tmp_path / "all.csv", index=False)
    again = pd.read_csv(tmp_path / "all.csv")
    assert list(again.columns) == list(COLUMNS)
    assert again.seconds.tolist()[:3] == frame.seconds.tolist()[:3]
