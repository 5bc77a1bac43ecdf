"""A source that is written while it is read: a version is one state that the file was in, or the run says that it changed. Never a mix of two."""
import csv
import os
import threading

import pytest

ROWS = 60_000
HEAD = "id,v,text\n"


def lines(value, first=0, count=ROWS):
    return "".join(f"{i},{value},some text to make the row longer {i}\n" for i in range(first, first + count))


class Writer(threading.Thread):
    """Changes the file without pause until it is told to stop."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.stopping, self.changes, self.failure = path, threading.Event(), 0, None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.change()
                self.changes += 1
        except OSError as failure:
            self.failure = failure

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join()
        assert not self.failure and self.changes


class Replacer(Writer):
    """A new file beside it, renamed over it: the good way."""

    def change(self):
        beside = self.path.with_suffix(".new")
        beside.write_text(HEAD + lines(2 + self.changes % 7))
        os.replace(beside, self.path)


class Appender(Writer):
    """Whole lines at the end, 100 at once."""

    def change(self):
        with open(self.path, "a") as file:
            file.write(lines(1, ROWS + 100 * self.changes, 100))


class Truncater(Writer):
    """Cut to nothing and written anew, in pieces."""

    def change(self):
        text = HEAD + lines(2 + self.changes % 7)
        with open(self.path, "w") as file:
            for at in range(0, len(text), 8192):
                file.write(text[at:at + 8192])
                file.flush()


def shape(project):
    """(rows, least id, greatest id, distinct ids, distinct values) of the newest version."""
    project.sluice("sql", "select count(*), min(id), max(id), count(distinct id), count(distinct v) from raw", "--out", "answer.csv")
    return [int(value) for value in list(csv.reader((project.root / "answer.csv").read_text().splitlines()))[1]]


@pytest.mark.slow
@pytest.mark.parametrize("writer", [Replacer, Appender, Truncater])
def test_a_version_is_one_state_of_the_file(project, writer):
    project.sluice("init")
    project.write("sluice.yaml", "project: p\nsources:\n  raw: {path: raw.csv, columns: {id: bigint, v: bigint, text: text}}\n")
    path = project.write("raw.csv", HEAD + lines(1))
    project.sluice("run")
    with writer(path):
        for _ in range(2):
            done = project.sluice("run", status=None)
            if done.returncode:
                told = done.stderr.rpartition("error: ")[2]
                assert done.returncode == 1 and ("changed while" in told or "raw.csv:" in told or "no line with" in told), done.stderr
                continue
            rows, least, greatest, ids, values = shape(project)
            assert rows == ids == greatest + 1 and least == 0 and values == 1, "rows of two states"
            assert writer is Truncater or rows >= ROWS
    project.sluice("run")
    rows, least, greatest, ids, values = shape(project)
    assert rows == ids == greatest + 1 == len(path.read_text().splitlines()) - 1 and values == 1
    project.sluice("verify")
