"""sluice run --check-repeatable: a step runs twice from nothing; what differs is shown, and nothing of it is recorded as made."""

TEXT = """project: x
sandbox: off
sources: {raw: raw.csv}
steps:
  same: {run: 'echo x >> n; printf "a\\nb\\n" > "$SLUICE_OUTPUT_s"; echo "{\\"metric\\":\\"m\\",\\"value\\":1}" >&3', outputs: {s: s.txt}}
  line: {run: 'printf "a\\nb %s\\nc\\n" $(cat n | wc -l) > "$SLUICE_OUTPUT_l"; echo x >> n', outputs: {l: l.txt}}
  folder: {run: 'mkdir "$SLUICE_OUTPUT_f"; echo x > "$SLUICE_OUTPUT_f/$(cat n | wc -l)"; echo x >> n', outputs: {f: f/}}
  table: {sql: "select id from raw order by id"}
  drawn: {sql: "select id, random() as r from raw order by id"}
"""


def make(project):
    project.sluice("init")
    project.write("raw.csv", "id\n1\n2\n")
    project.write("n", "")
    project.write("sluice.yaml", TEXT)
    return project


def test_what_is_repeatable_is_recorded_once(project):
    make(project)
    told = {step["name"]: step for step in project.json("run", "--check-repeatable", "same", "table")["steps"]}
    assert told["same"]["state"] == told["table"]["state"] == "ok" and told["same"]["note"].endswith(", twice the same") and "twice" not in told["raw"]["note"]
    assert (project.root / "n").read_text() == "x\n" * 2 and (project.root / "s.txt").read_text() == "a\nb\n"
    assert len(project.json("ls", "runs", "same")["items"]) == 1
    assert project.json("sql", "select count(*) as c from metrics where name = 'm'")["items"] == [{"c": 1}]
    again = project.json("run", "--check-repeatable", "same")  # asked for: it runs although nothing changed
    assert again["counts"]["ran"] == 1
    assert "names of steps" in project.sluice("run", "--check-repeatable", status=2).stderr
    project.sluice("verify")


def test_what_is_not_is_shown(project):
    make(project)
    told = project.json("run", "--check-repeatable", "--keep-going", "-j", 1, "line", "folder", "drawn", status=1)
    differences = {d["output"]: d for d in told["differences"]}
    assert set(differences) == {"l", "f", "drawn"}
    line = differences["l"]["bytes"]
    assert line["line"] == 2 and line["at"] >= 4 and line["first"] != line["second"] and line["first"].startswith("b ")
    assert (differences["f"]["files"]["added"], differences["f"]["files"]["removed"]) == (1, 1)
    assert (differences["drawn"]["rows"]["added"], differences["drawn"]["rows"]["removed"]) == (2, 2)
    assert {step["cause"].split(":")[0] for step in told["steps"] if step["state"] == "failed"} == {"it is not repeatable"}
    assert not (project.root / "l.txt").exists() and [d["name"] for d in project.json("ls", "datasets")["items"]] == ["raw"]
    shown = project.sluice("run", "--check-repeatable", "line", status=1)
    assert "l: differs from byte" in shown.stdout and "\n  - b " in shown.stdout and "\n  + b " in shown.stdout
    assert not list((project.root / ".sluice" / "tmp").iterdir())
    project.sluice("verify")
