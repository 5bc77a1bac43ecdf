"""Sources, checks and versions from outside: what good and bad files get."""
import csv
import gzip
import hashlib
import subprocess

import pytest

PROJECT = """
project: p
params: {most: 100}
sources:
  raw: {path: "data/*.csv", columns: {id: bigint, delay: bigint}}
datasets:
  raw:
    checks:
      - between: {column: delay, max: $most, else: quarantine}
      - unique: {columns: [id], else: quarantine}
steps:
  out:
    sql: |
      select name, count(*) as n, sum(delay)::bigint as total from raw group by name
"""
GOOD = "id,delay,name\n1,5,a\n2,7,b\n3,9,a\n"


@pytest.fixture
def project(project):
    project.write("sluice.yaml", PROJECT)
    project.sluice("init")
    return project


def rows(project, sql):
    """The answer of `sluice sql`, as a list of lists."""
    project.sluice("sql", sql, "--out", "answer.csv")
    return list(csv.reader((project.root / "answer.csv").read_text().splitlines()))[1:]


def test_a_broken_line_is_told_by_file_line_and_column(project):
    project.write("sluice.yaml", PROJECT.replace(", else: quarantine", ""))
    project.write("data/a.csv", "id,delay,name\n" + "".join(f"{i},{i % 50},n\n" for i in range(50000)) + "7,abc,x\n")
    done = project.sluice("run", status=1)
    assert "error: data/a.csv:50002:3: " in done.stderr
    assert "'abc' is not a bigint in column 'delay' (1 of 50,001 rows)" in done.stderr
    assert "else: quarantine" in done.stderr
    # Nothing of it became a version.
    assert "no version" in project.sluice("show", "dataset:raw", status=2).stderr


def test_bad_rows_and_lines_are_put_aside_with_the_reason(project):
    project.write("data/a.csv", GOOD + "4,900,c\n5,abc,d\n1,6,e\n")
    project.sluice("run")
    assert rows(project, "select id from raw order by id") == [["1"], ["2"], ["3"]]
    assert rows(project, "select id, reason, raw from raw.quarantine order by reason") == [
        ["4", "between(delay)", ""], ["", "data/a.csv:6: 'abc' is not a bigint in column 'delay'", "5,abc,d"], ["1", "unique(id)", ""]]
    assert rows(project, "select name, n from \"out\" order by name") == [["a", "2"], ["b", "1"]]


def test_equal_content_stops_the_wave(project):
    project.write("data/a.csv", GOOD)
    project.sluice("run")
    # The same rows, packed: other bytes, an equal table, so the step behind it does not run.
    (project.root / "data/a.csv").unlink()
    project.write("data/a.csv.gz", gzip.compress(GOOD.encode()))
    project.write("sluice.yaml", PROJECT.replace("*.csv", "*.csv.gz"))
    done = project.sluice("run")
    assert "1 ran" in done.stdout + done.stderr


def damaged(whole):
    """Cut in the middle of a block, at a boundary of the checksum, by one byte; a wrong checksum; bytes behind the end."""
    return [whole[:len(whole) // 2], whole[:-9], whole[:-8], whole[:-4], whole[:-1], whole[:-4] + bytes([whole[-4] ^ 1]) + whole[-3:], whole + b"more"]


@pytest.mark.parametrize("suffix,packer", [("gz", ["gzip", "-c"]), ("zst", ["zstd", "-qc"])])
def test_a_packed_file_that_is_cut_off_makes_no_version(project, suffix, packer):
    whole = subprocess.run(packer, input=("id\n" + "".join(f"{i}\n" for i in range(60000))).encode(), stdout=subprocess.PIPE, check=True).stdout
    project.write("sluice.yaml", f"project: p\nsources: {{raw: data/a.csv.{suffix}}}\nsteps: {{out: {{sql: 'from raw'}}}}\n")
    for bytes_ in damaged(whole):
        project.write(f"data/a.csv.{suffix}", bytes_)
        done = project.sluice("run", status=1)
        assert f"data/a.csv.{suffix}" in done.stderr and ("cut off" in done.stderr or "packed" in done.stderr)
    assert project.json("ls", "datasets")["items"] == []
    project.write(f"data/a.csv.{suffix}", whole)
    project.sluice("run")
    assert rows(project, "select count(*) from out") == [["60000"]]


def test_raw_bytes_are_kept_under_their_own_hash(project):
    project.write("data/a.csv", GOOD)
    project.sluice("run")
    name = hashlib.sha256(GOOD.encode()).hexdigest()
    assert (project.root / ".sluice/objects" / name[:2] / name[2:]).read_text() == GOOD


def test_a_truncated_parquet_file_makes_no_version(project):
    project.write("sluice.yaml", "project: p\nsources: {raw: data/a.parquet}\nsteps: {out: {sql: 'from raw'}}\n")
    project.write("data/a.parquet", b"PAR1" + b"\0" * 1000)
    done = project.sluice("run", status=1)
    assert "data/a.parquet: " in done.stderr
    assert ".sluice/objects" not in done.stderr


def test_files_of_differing_columns_are_named(project):
    project.write("data/a.csv", GOOD)
    project.write("data/b.csv", "id,delay,nome\n9,9,z\n")
    done = project.sluice("run", status=1)
    assert "data/b.csv: " in done.stderr and "column 3 is 'nome', and 'name' in data/a.csv" in done.stderr


def test_a_glob_without_match_is_the_projects_mistake(project):
    done = project.sluice("run", status=2)
    assert "error: sluice.yaml:" in done.stderr and "there is no file 'data/*.csv'" in done.stderr


def test_sql_sees_nothing_but_its_tables(project):
    project.write("secret.txt", "secret")
    project.write("sluice.yaml", PROJECT.replace("from raw group", f"from raw, read_text('{project.root}/secret.txt') group"))
    project.write("data/a.csv", GOOD)
    assert "disabled" in project.sluice("run", status=None).stderr
    assert "secret" not in project.sluice("show", "dataset:out", status=2).stdout
