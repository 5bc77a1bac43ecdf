"""Names of dataset versions, what stays of them, and what differs between them."""
import pytest

FILES = "project: t\nsources:\n  pics: {path: img, as: files}\n"
TABLE = "project: t\nsources: {t: t.csv}\n"


@pytest.fixture
def pics(project):
    """Five versions of a tree; the n-th has the files 0..n, and file 0 changes each time."""
    project.sluice("init")
    project.write("sluice.yaml", FILES)
    for i in range(5):
        project.write(f"img/{i}", f"file {i}")
        project.write("img/0", f"version {i}")
        project.sluice("run")
    return project


def versions(project, name="pics"):
    return [v["version"] for v in project.json("ls", "datasets", name)["items"]]


def test_tags_stay_and_branches_move(pics):
    newest, before = versions(pics)[:2]
    pics.sluice("tag", "pics@~1", "golden")
    pics.sluice("branch", "pics", "candidate")
    assert pics.json("show", "pics@golden")["version"] == before
    pics.sluice("get", "pics@golden", "out")
    assert (pics.root / "out/0").read_text() == "version 3"
    refused = pics.sluice("tag", "pics", "golden", status=2)
    assert "stands on" in refused.stderr and "--force" in refused.stderr
    pics.sluice("tag", "pics", "golden", "--force")
    pics.sluice("branch", "pics@~3", "candidate")
    assert pics.json("show", "pics@golden")["version"] == newest
    assert pics.json("show", "pics@candidate")["version"] == versions(pics)[3]
    assert {n["name"] for n in pics.json("show", "pics@golden")["names"]} == {"golden"}
    for bad in ("abcd", "2001-03-01", "no/slash"):
        pics.sluice("tag", "pics", bad, status=2)
    pics.sluice("branch", "pics", "golden", status=2)
    pics.sluice("tag", "pics", "golden", "--delete")
    assert "no version 'golden'" in pics.sluice("show", "pics@golden", status=2).stderr
    assert pics.json("verify")["verdict"] == "ok"


def test_a_clone_is_a_dataset_of_its_own(pics):
    assert pics.json("clone", "pics@~2", "frozen")["version"] == versions(pics)[2]
    pics.sluice("get", "frozen", "out")
    assert (pics.root / "out/0").read_text() == "version 2"
    assert "made by the project" in pics.sluice("clone", "frozen", "pics", status=2).stderr
    pics.sluice("drop", "frozen")
    assert [d["name"] for d in pics.json("ls", "datasets")["items"]] == ["pics"]
    pics.sluice("gc", "--yes")
    pics.sluice("undrop", "frozen")
    assert versions(pics, "frozen") == [versions(pics)[2]]
    pics.sluice("drop", "frozen")
    pics.sluice("gc", "--yes", "--dropped", "0s")
    assert "versions are gone" in pics.sluice("undrop", "frozen", status=2).stderr
    assert len(versions(pics)) == 5 and pics.json("verify")["verdict"] == "ok"


def test_retention_lets_go_what_nothing_names(pics):
    every = versions(pics)
    pics.sluice("tag", "pics@~4", "first")
    pics.write("sluice.yaml", FILES + "datasets: {pics: {keep: {last: 2}}}\n")
    preview = pics.json("gc")
    assert [v["version"] for v in preview["versions"]] == [every[3], every[2]] and preview["unreferenced"] > 0
    assert versions(pics) == every
    pics.sluice("gc", "--yes")
    assert versions(pics) == [every[0], every[1], every[4]]
    assert "let go" in pics.sluice("get", f"pics@{every[2][:12]}", "gone", status=2).stderr
    for kept in ("pics", "pics@~1", "pics@first"):
        pics.sluice("get", kept, "out", "--force")
    assert pics.json("verify")["verdict"] == "ok"
    assert pics.json("gc")["unreferenced"] == 0
    assert "nothing changed" in pics.sluice("run").stdout


def test_differences_of_trees(pics):
    pics.write("img/9", "nine")
    (pics.root / "img/1").unlink()
    pics.sluice("run")
    files = pics.json("diff", "pics@~1", "pics")["files"]
    assert (files["added"], files["removed"], files["changed"]) == (1, 1, 0)
    assert [(f["change"], f["path"]) for f in files["items"]] == [("removed", "1"), ("added", "9")]
    shown = pics.sluice("diff", "pics@~1", "pics").stdout
    assert f"files  {files['added']} added, {files['removed']} removed, {files['changed']} changed" in shown
    assert all(item["path"] in shown for item in files["items"])
    assert "no difference" in pics.sluice("diff", "pics", "pics").stdout


def test_differences_of_tables(project):
    project.sluice("init")
    project.write("sluice.yaml", TABLE)
    project.write("t.csv", "id,name,n\n1,a,1\n2,b,2\n3,c,3\n4,,4\n")
    project.sluice("run")
    project.write("t.csv", "id,name,n\n1,a,1\n2,b,20\n4,,4\n5,e,5\n6,f,6\n")
    project.sluice("run")
    rows = project.json("diff", "t@~1", "t", "--key", "id")["rows"]
    assert (rows["added"], rows["removed"], rows["changed"]) == (2, 1, 1)
    assert {(s["change"], s["row"]["id"]) for s in rows["samples"]} == {("added", 5), ("added", 6), ("removed", 3), ("changed", 2)}
    whole = project.json("diff", "t@~1", "t")["rows"]
    assert (whole["added"], whole["removed"]) == (3, 2) and "changed" not in whole
    shown = project.sluice("diff", "t@~1", "t", "--key", "id").stdout
    assert f"rows  {rows['added']} added, {rows['removed']} removed, {rows['changed']} changed" in shown and "\n  ~ {" in shown and "\n  + {" in shown
    assert "no column 'nope'" in project.sluice("diff", "t@~1", "t", "-k", "nope", status=2).stderr
    items = {i["what"]: (i["a"], i["b"]) for i in project.json("diff", "t@~1", "t")["items"]}
    assert items["rows"] == (4, 5)
