"""Answer questions as ``softmax-impls choose`` does: measure the shapes now, or look them up in results."""

import itertools
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from softmax_impls.choice.answer import OUTSIDE, Answer, Question
from softmax_impls.choice.candidates import Implementations, usage_of
from softmax_impls.choice.choose import choose
from softmax_impls.choice.ranking import RankedRun, rank_run
from softmax_impls.dispatch import explain
from softmax_impls.formatting import KERNEL_ERRORS, format_count
from softmax_impls.results import store
from softmax_impls.results.runs import Loaded, Run, load
from softmax_impls.timing.environment import environment, largest_temporaries, limit_all_threads
from softmax_impls.timing.pasted_code import Times, time_pasted
from softmax_impls.timing.policy import DEFAULT
from softmax_impls.timing.records import Cell
from softmax_impls.timing.session import Session, Skipped
from softmax_impls.timing.workloads import CUSTOM, CellKey

FILE = "measured.jsonl"
SECONDS = 2.0  # to measure a shape, besides the checks
SETUPS = 2.0  # the time to measure a shape is at least this multiple of the time to make its arrays
PASTED_SECONDS = 1.0  # to time the code of the answer; more if timing it on a few sets of arrays takes longer
ATTEMPTS = 3  # to measure a shape while the processor is quiet

Say = Callable[[str], None]  # receives lines about what could not be read or kept


def ask_by_measuring(
    questions: Sequence[Question], implementations: Implementations, folder: Path, say: Say
) -> list[Answer]:
    """Measure the shapes of questions, and answer them. The questions have the same dtype and number of threads.

    The results are added to a file in `folder`. Earlier results in this folder can make an answer less sure. If a shape
    cannot be measured, raise ValueError.
    """
    file = folder / FILE
    if why := _not_writable(file):
        say(f"{file} can't be written ({why}): the result is not kept")
    old = _runs(load(sorted(folder.glob("*.jsonl"))), lambda cell: any(q.is_about(cell) for q in questions), say)
    here, answers, cells = environment(), [], dict[CellKey, Cell]()
    keys = [CellKey(CUSTOM, q.batch, q.dim, q.dtype, q.threads) for q in questions]
    try:
        _measure(keys, implementations, cells)
    finally:  # also after Ctrl-C
        for key, cell in cells.items() if not why else ():
            cells[key] = _keep(cell, file, say)
    for question, key in zip(questions, keys, strict=True):
        cell = cells[key]
        run = rank_run(Run("compare", here.machine, here.commit or "", (cell,), here.host))
        if run.cells[0].comparison is None:
            reasons = "; ".join(f"{kernel.name} {kernel.status}: {kernel.note}" for kernel in cell.kernels)
            raise ValueError(f"nothing could be timed at {cell.key}: {reasons}")
        answer = choose(question, [run], here.machine, implementations, old)
        answers.append(_as_pasted(replace(answer, just_measured=True), implementations))
    return answers


def _keep(cell: Cell, file: Path, say: Say) -> Cell:
    """Add a cell to a file, and return the cell with the name of the file. Call `say` if the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        store.append(file, cell)
        return msgspec.structs.replace(cell, file=str(file))
    except OSError as error:  # the disk is full, for instance
        say(f"{file} can't be written ({error.strerror or error}): the result is not kept")
        return cell


def _as_pasted(answer: Answer, implementations: Implementations) -> Answer:
    """Time the code that calls `answer.pick`, on arrays that NumPy allocates; return the answer with the new times.

    Only the pick is timed. If there is no code, or the code fails, the time of the pick in the rounds is used. The new
    time of each other candidate is the time of the pick, multiplied by the ratio of the candidate to the pick in the
    rounds. So the times can be compared, even if the machine is slower or faster now than in the rounds.
    """
    pick, code, threads = answer.pick, answer.usage, answer.question.threads
    if pick is None:
        return answer
    times = Times(pick.seconds, pick.low, pick.high)  # from the rounds of the cell, if there is no code or it fails
    if code:
        alone = usage_of(pick, replace(answer.question, threads=1), implementations) if threads > 1 else None
        if alone == code or (alone and alone.setup != code.setup):
            alone = None  # the call runs in one thread, or is a call of another library
        with suppress(*KERNEL_ERRORS), limit_all_threads(threads):
            times = time_pasted(code, PASTED_SECONDS, _threads_of(pick.name, answer.question), alone)
    candidates = {}
    for name, candidate in answer.candidates.items():
        seconds, low, high = (answer.ratio(name).value / answer.ratio(pick.name).value * time for time in times)
        candidates[name] = replace(candidate, seconds=seconds, low=low, high=high)
    return replace(answer, candidates=candidates)


def _threads_of(name: str, question: Question) -> int:
    """Return how many threads a call of an implementation uses; not more than `question` allows."""
    choice = explain((question.batch, question.dim), question.dtype, threads=question.threads)
    return choice.threads if name == choice.impl else question.threads


def ask_results(
    questions: Sequence[Question],
    implementations: Implementations,
    loaded: Loaded,
    say: Say,
    any_threads: bool = False,
) -> list[Answer]:
    """Answer questions from results. The questions have the same dtype and number of threads.

    If `any_threads` is true, and results with this number of threads give no answer, fewer threads are tried.
    """
    dtype, threads = questions[0].dtype, questions[0].threads
    runs = _runs(loaded, lambda cell: cell.dtype == dtype and cell.threads <= threads, say)
    fewer = {cell.key.threads for run in runs for cell in run.cells} - {threads} if any_threads else set()
    # If no number of threads has an answer, the answer for `threads` says why.
    for number in (threads, *sorted(fewer, reverse=True), threads):
        asked = [replace(question, threads=number) for question in questions]
        answers = [choose(question, runs, environment().machine, implementations) for question in asked]
        if all(answer.basis != OUTSIDE for answer in answers):
            break
    if number != threads:
        say(f"No results with {threads} threads are near: this is the answer for {format_count(number, 'thread')}.")
    return answers


def _measure(keys: Sequence[CellKey], implementations: Implementations, cells: dict[CellKey, Cell]) -> None:
    """Measure cells of one dtype and number of threads, and put each in `cells` as soon as it is measured."""
    session = Session(implementations, SECONDS, largest_temporaries())
    # If the first call is limited to one thread, Numba does not compile code for several threads. This saves a second.
    with limit_all_threads(keys[0].threads):
        session.prepare_quickly([keys[0].dtype])
        for _, key in itertools.product(range(ATTEMPTS), dict.fromkeys(keys)):
            if key not in cells or cells[key].is_busy:
                session.budget = max(SECONDS, SETUPS * DEFAULT.setup_cost * key.elements)
                session.restart()
                *_, last = session.run([key])  # the last record has the samples of all steps
                if isinstance(last, Skipped):
                    raise ValueError(f"{key} can't be measured: {last.why}")
                cells[key] = min(last, cells.get(key, last), key=lambda cell: cell.is_busy)


def _runs(loaded: Loaded, wanted: Callable[[Cell], bool], say: Say) -> list[RankedRun]:
    """Return the runs, ranked, with only the cells that are `wanted`. Call `say` with each problem of the files."""
    for line in loaded.problems:
        say(line)
    runs = (replace(run, cells=tuple(filter(wanted, run.cells))) for run in loaded.runs)
    return [rank_run(run) for run in runs if run.cells or run.earlier]


def _not_writable(file: Path) -> str:
    """Return why a file cannot be written; "" if it can."""
    place = next(path for path in (file.absolute(), *file.absolute().parents) if os.path.exists(path))
    if place.is_file() and place.name != file.name:
        return f"{place} is not a folder"
    return "" if os.access(place, os.W_OK) else "no permission"
