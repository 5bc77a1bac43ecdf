"""Datasets of plain files: as users version, fetch and change them."""
import os
import pathlib

import pytest

SOURCES = "project: files\nsources:\n  images: {path: img, as: files}\n"


def contents(folder):
    """{path: bytes} of every file below; paths as bytes."""
    folder = os.fsencode(folder)
    return {os.path.relpath(os.path.join(at, name), folder): pathlib.Path(os.fsdecode(os.path.join(at, name))).read_bytes()
            for at, _, names in os.walk(folder) for name in names}


@pytest.fixture
def images(project):
    project.sluice("init")
    project.write("sluice.yaml", SOURCES)
    for i in range(40):
        project.write(f"img/{i % 3}/{i}.jpg", b"picture %d" % i)
    project.write("img/big.bin", os.urandom(300_000))
    pathlib.Path(os.fsdecode(os.fsencode(project.root) + b"/img/odd\n\xff")).write_bytes(b"odd")
    project.sluice("run")
    return project


def test_a_folder_is_versioned_and_fetched(images):
    project, first = images, contents(images.root / "img")
    assert project.json("show", "images")["files"] == 42
    assert "nothing changed" in project.sluice("run").stdout
    project.write("img/0/new.jpg", b"one more")
    (project.root / "img/1/1.jpg").unlink()
    project.write("img/2/2.jpg", b"another")
    project.sluice("run")
    second = contents(project.root / "img")
    assert project.json("get", "images", "out")["added"] == 42
    assert contents(project.root / "out") == second
    moved = project.json("get", "images@~1", "out")
    assert (moved["added"], moved["changed"], moved["removed"], moved["kept"]) == (1, 1, 1, 40)
    assert contents(project.root / "out") == first
    assert project.json("verify")["verdict"] == "ok"


def test_what_somebody_changed_is_not_overwritten(images):
    images.sluice("get", "images", "out")
    images.write("out/0/0.jpg", b"my work")
    images.write("img/0/0.jpg", b"theirs")
    images.sluice("run")
    refused = images.sluice("get", "images", "out", status=2)
    assert "1 file was changed there" in refused.stderr and "0/0.jpg" in refused.stderr
    assert (images.root / "out/0/0.jpg").read_bytes() == b"my work"
    images.sluice("get", "images", "out", "--force")
    assert (images.root / "out/0/0.jpg").read_bytes() == b"theirs"
    images.write("other/file", b"not ours")
    assert images.sluice("get", "images", "other", status=2)
    assert contents(images.root / "other") == {b"file": b"not ours"}


def test_the_store_does_not_change_with_the_folder(images):
    images.sluice("get", "images", "out", "--link")
    for path in (images.root / "out").rglob("*.bin"):
        assert path.stat().st_mode & 0o222 == 0 and path.stat().st_nlink == 2
    for path in (images.root / "img").rglob("*.jpg"):
        path.write_bytes(b"scribbled over")
    assert images.json("verify")["verdict"] == "ok"


def test_commands_read_and_make_folders(images):
    images.write("sluice.yaml", SOURCES + """steps:
  loud:
    run: 'mkdir -p "$SLUICE_OUTPUT_upper/x" && for f in "$SLUICE_INPUT_images"/0/*; do tr a-z A-Z < "$f" > "$SLUICE_OUTPUT_upper/x/$(basename "$f")"; done'
    inputs: [images]
    outputs: {upper: out/upper/}
  count: {run: 'find "$SLUICE_INPUT_upper" -type f | wc -l > "$SLUICE_OUTPUT_n"', inputs: [upper], outputs: {n: out/n.txt}}
""")
    images.sluice("run")
    assert (images.root / "out/n.txt").read_text().strip() == "14"
    assert not (images.root / "out/upper").exists()
    images.sluice("get", "upper", "there")
    assert (images.root / "there/x/0.jpg").read_bytes() == b"PICTURE 0"
    assert "nothing changed" in images.sluice("run").stdout
    assert "img" in images.sluice("why", "upper").stdout


def test_gc_keeps_what_versions_refer_to(images):
    images.write("img/0/0.jpg", b"second")
    images.sluice("run")
    images.sluice("get", "images@~1", "out")
    images.sluice("gc", "--yes")
    assert images.json("verify")["verdict"] == "ok"
    images.sluice("get", "images@~1", "again")
    assert contents(images.root / "again") == contents(images.root / "out")


def test_a_table_is_expected_where_files_are(images):
    assert "plain files, not a table" in images.sluice("sql", "select * from images", status=2).stderr
    images.write("sluice.yaml", SOURCES + "steps: {s: {sql: 'select * from images'}}\n")
    assert "folder of files, not a table" in images.sluice("run", status=2).stderr
    images.write("sluice.yaml", "project: x\nsources: {gone: {path: nowhere, as: files}}\n")
    assert "there is no such folder" in images.sluice("run", status=None).stderr
    images.write("sluice.yaml", SOURCES)
    (images.root / "img/loop").symlink_to(".")
    assert "'loop' is a link to a folder" in images.sluice("run", status=None).stderr
