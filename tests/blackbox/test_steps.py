"""How steps are run: further attempts, causes in words, resources."""
import json
import sys

from conftest import wait_until


def write(project, text, sandbox="off"):
    """Most of these steps leave marks in the project's folder that they do not declare."""
    project.sluice("init", status=0)
    project.write("sluice.yaml", f"project: steps\nsandbox: {sandbox}\n" + text.replace("PYTHON", sys.executable))
    return project


def run(project, *arguments, status=0):
    return {step["name"]: step for step in project.json("run", *arguments, status=status)["steps"]}


def test_a_failed_attempt_is_tried_again_until_it_is_well(project):
    write(project, "steps:\n  flaky: {run: 'echo x >> n; [ $(wc -l < n) -ge 3 ] || exit 75', retry: {times: 3, wait: 10ms, exit: [75]}}\n")
    told = project.sluice("run", status=0).stderr
    assert "exit status 75; again in 10 ms" in told and "again in 20 ms" in told
    assert (project.root / "n").read_text() == "x\n" * 3
    runs = [run for run in project.json("ls", "runs")["items"] if run["name"] == "flaky"]
    assert sorted(run["status"] for run in runs) == ["failed", "failed", "ok"]
    assert [run["why"] for run in runs if run["status"] == "ok"] == ["attempt 3: exit status 75"]


def test_only_what_was_asked_for_is_tried_again(project):
    write(project, "steps:\n"
          "  other: {run: 'echo x >> other; exit 3', retry: {times: 3, wait: 10ms, exit: [75]}}\n"
          "  said: {run: 'echo x >> said; echo connection reset by peer >&2; exit 3', retry: {times: 2, wait: 10ms, text: [connection reset]}}\n"
          "  signalled: {run: 'echo x >> signalled; kill -TERM $$', retry: {times: 1, wait: 10ms, signal: [TERM]}}\n")
    steps = run(project, "--keep-going", status=1)
    assert {name: (project.root / name).read_text().count("x") for name in steps} == {"other": 1, "said": 3, "signalled": 2}
    assert steps["signalled"]["cause"] == "killed by SIGTERM"


def test_how_a_step_is_run_is_no_reason_to_run_it_again(project):
    write(project, "steps:\n  a: {run: 'true', retry: 1, priority: 1, cpu: 1, timeout: 1h}\n")
    assert run(project)["a"]["state"] == "ok"
    project.write("sluice.yaml", "project: steps\nsteps:\n  a: {run: 'true', memory: 1GB}\n")
    assert run(project)["a"]["state"] == "fresh"


def test_a_step_that_takes_more_memory_than_it_may_is_ended_with_the_cause(project):
    write(project, "steps:\n  hog: {run: [python3, -c, 'x = bytearray(400 << 20); import time; time.sleep(60)'], memory: 100MB}\n")
    cause = run(project, status=1)["hog"]["cause"]
    assert cause.removeprefix("killed by the kernel: ").startswith("out of memory at 0.") and cause.endswith("of 0.105 GB, its limit"), cause


def test_a_resource_is_never_given_out_twice(project):
    # Each holds the lock's folder while it runs: a second one at a time could not make it.
    command = "mkdir held && sleep 0.05 && rmdir held"
    write(project, "resources: {db: 1}\nsteps:\n" + "".join(f"  s{i}: {{run: '{command}', needs: {{db: 1}}}}\n" for i in range(6)))
    assert {step["state"] for step in run(project, "-j", 6).values()} == {"ok"}


def test_the_highest_priority_goes_first(project):
    write(project, "steps:\n" + "".join(f"  s{i}: {{run: 'echo {i} >> order', priority: {i}}}\n" for i in range(5)))
    run(project, "-j", 1)
    assert (project.root / "order").read_text().split() == ["4", "3", "2", "1", "0"]


def test_mistakes_are_told_with_their_place(project):
    cases = {
        "steps:\n  a: {run: 'true', retry: {exit: [300]}}\n": "sluice.yaml:3:34: an exit status is a number from 1 to 255",
        "steps:\n  a: {run: 'true', retry: {signal: [NOPE]}}\n": "'NOPE' is no signal",
        "steps:\n  a: {run: 'true', retry: {tims: 3}}\n": "did you mean 'times'?",
        "steps:\n  a: {run: 'true', needs: {db: 1}}\n": "step 'a' needs 1 of 'db', and there are 0",
        "resources: {dbs: 1}\nsteps:\n  a: {run: 'true', needs: {db: 1}}\n": "did you mean 'dbs'?",
        "resources: {cpu: 1}\n": "a resource cannot be called 'cpu'",
    }
    project.sluice("init", status=0)
    for text, message in cases.items():
        project.write("sluice.yaml", "project: steps\n" + text)
        assert message in project.sluice("run", status=2).stderr
    assert "retry" in json.dumps(json.loads(project.sluice("schema", status=0).stdout))


WHEN = """\
params: {full: false, days: 3, mode: fast}
steps:
  always: {run: 'echo a > $SLUICE_OUTPUT_a', outputs: {a: a.txt}}
  full: {run: 'echo f > $SLUICE_OUTPUT_f', when: $full, outputs: {f: f.txt}}
  week: {run: 'true', when: "$days > 7 or ($mode = 'all' and not $full)"}
  join: {run: 'cat $SLUICE_INPUT_a $SLUICE_INPUT_f > $SLUICE_OUTPUT_j', inputs: [a, f], outputs: {j: j.txt}}
  behind: {run: 'true', inputs: [f]}
"""


def test_what_does_not_hold_is_left_out_and_what_is_behind_it_too(project):
    write(project, WHEN)
    steps = run(project)
    assert {name: step["state"] for name, step in steps.items()} == {"always": "ok", "full": "skipped", "week": "skipped", "join": "ok", "behind": "skipped"}
    assert steps["full"]["reason"] == "when: $full does not hold" and steps["behind"]["reason"] == "full is left out"
    assert (project.root / "j.txt").read_text() == "a\n"
    steps = run(project, "full=true", "days=8")
    assert {name: step["state"] for name, step in steps.items()} == {"always": "fresh", "full": "ok", "week": "ok", "join": "ok", "behind": "ok"}
    assert run(project, "full=true", "days=9")["full"]["state"] == "fresh"


def test_conditions_that_are_none(project):
    project.sluice("init", status=0)
    for condition, message in {"$ful": "is not a parameter", "$days >": "is wanted", "$days and true": "neither true nor false",
                               "$days < 'x'": "can be compared by size", "($full": "not closed", "$full $full": "nothing may follow"}.items():
        project.write("sluice.yaml", f"project: steps\nparams: {{full: false, days: 3}}\nsteps:\n  a: {{run: 'true', when: \"{condition}\"}}\n  b: {{run: 'echo $full $days', params: [full, days]}}\n")
        told = project.sluice("run", status=2).stderr
        assert message in told and "sluice.yaml:4:" in told


def test_the_end_comes_whatever_became_of_the_rest(project):
    write(project, "steps:\n  good: {run: 'true'}\n  bad: {run: 'exit 3'}\n"
          "  tidy: {run: 'echo $SLUICE_STATUS $SLUICE_FAILED >> told', finally: true}\n"
          "  of_good: {run: 'echo x >> of_good', finally: [good]}\n")
    steps = run(project, "--keep-going", status=1)
    assert (steps["good"]["state"], steps["bad"]["state"], steps["tidy"]["state"]) == ("ok", "failed", "ok")
    assert (project.root / "told").read_text() == "failed bad\n"
    run(project, "good", "--force")
    assert (project.root / "told").read_text() == "failed bad\n" and (project.root / "of_good").read_text() == "x\nx\n"
    project.write("sluice.yaml", (project.root / "sluice.yaml").read_text().replace("exit 3", "true"))
    run(project)
    assert (project.root / "told").read_text() == "failed bad\nok\n"
    assert {step["state"] for step in run(project).values()} == {"fresh", "last"}  # nothing ran: nothing to end
    assert (project.root / "told").read_text() == "failed bad\nok\n"


def test_a_group_is_run_by_its_name(project):
    write(project, "steps:\n  a: {run: 'true', group: load}\n  b: {run: 'true', group: load}\n  c: {run: 'true'}\n")
    assert set(run(project, "load")) == {"a", "b"}


EACH = """\
params: {regions: [us, eu]}
sources: {raw: raw.csv}
steps:
  part:
    each: {region: $regions}
    sql: "select id, region from raw where region = $region"
  counted: {sql: "select count(*) as n, count(distinct region) as regions from part"}
  size:
    each: {file: in/*.txt}
    run: 'wc -c < "$SLUICE_PARAM_file" > "$SLUICE_OUTPUT_size"'
    outputs: {size: out/size.txt}
  total: {run: 'cd "$SLUICE_INPUT_size"; ls > "$SLUICE_OUTPUT_total"', inputs: [size], outputs: {total: total.txt}}
"""


def test_a_step_for_each_item_has_instances_of_its_own(project):
    write(project, EACH)
    project.write("raw.csv", "id,region\n1,us\n2,eu\n3,eu\n4,asia\n")
    project.write("in/a.txt", "12345")
    project.write("in/b c.txt", "1")
    steps = run(project)
    assert {"part.us", "part.eu", "size.a"} <= set(steps) and all(step["state"] == "ok" for step in steps.values())
    odd = next(name for name in steps if name.startswith("size.b_c-"))
    assert (project.root / "total.txt").read_text().split() == ["a.txt", odd.removeprefix("size.") + ".txt"]
    assert (project.root / "out" / "size.a.txt").read_text() == "5\n"
    assert project.json("sql", "select n, regions from counted")["items"] == [{"n": 3, "regions": 2}]
    # One item more, one file changed: only their instances and what reads them.
    project.write("in/a.txt", "123456")
    steps = run(project, "regions=[us,eu,asia]")
    assert {name for name, step in steps.items() if step["state"] == "ok"} == {"part.asia", "counted", "size.a", "total"}
    assert set(run(project, "part")) == {"raw", "part.us", "part.eu"}
    assert run(project, "part.eu")["part.eu"]["state"] == "fresh"


def test_each_that_cannot_be(project):
    project.sluice("init", status=0)
    for each, message in {"[a]": "'each' wants one name", "{x: [a, a]}": "a second time", "{x: []}": "finds nothing", "{x: nothing/*.csv}": "finds nothing",
                          "{x: /etc/*}": "glob of files of the project", "{p: [1]}": "is a parameter already"}.items():
        project.write("sluice.yaml", f"project: steps\nparams: {{p: 1}}\nsteps:\n  a: {{each: {each}, run: 'true', params: [p]}}\n")
        told = project.sluice("run", status=2).stderr
        assert message in told and "sluice.yaml:4:" in told, told


HELD = """\
import os, socket, subprocess
assert open(os.environ["SLUICE_INPUT_made"]).read() == "made\\n"
assert open(os.environ["SLUICE_INPUT_raw"], "rb").read(4) == b"PAR1"
assert open(os.environ["SLUICE_INPUT_tree"] + "/x").read() == "x\\n"
open(os.path.join(os.environ["TMPDIR"], "scratch"), "w").write("x")
open(os.environ["SLUICE_OUTPUT_held"], "w").write("held")
subprocess.run(["/bin/true"], check=True)
import helper
def refused(what):
    try:
        what()
    except PermissionError:
        return "refused"
    except OSError as e:
        return "allowed: " + str(e)
    return "allowed"
print("network", refused(lambda: socket.create_connection(("127.0.0.1", 1), 1)))
print("datagrams", refused(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
print("server", refused(lambda: socket.socket().listen()))
print("pair", refused(lambda: socket.socketpair()))
os.chdir(os.environ["TMPDIR"])
local = socket.socket(socket.AF_UNIX)
local.bind("here")
local.listen()
print("local", refused(lambda: socket.socket(socket.AF_UNIX).connect("here")))
os.chdir(os.environ["SLUICE_PROJECT"])
print("write", refused(lambda: open("planted", "w")))
print("object", refused(lambda: open(os.environ["SLUICE_INPUT_made"], "r+")))
print("cut", refused(lambda: os.truncate(os.environ["SLUICE_INPUT_raw"], 0)))
print("store", refused(lambda: open(".sluice/sluice.db", "rb").read(1)))
print("signal", refused(lambda: os.kill(os.getppid(), 0)))
print("clock", refused(lambda: __import__("time").clock_settime(0, 0)))
"""


def test_a_command_touches_what_it_declared_and_nothing_else(project):
    write(project, "sources: {raw: raw.csv}\nsteps:\n"
          "  made: {run: 'echo made > $SLUICE_OUTPUT_made; mkdir $SLUICE_OUTPUT_tree; echo x > $SLUICE_OUTPUT_tree/x', outputs: {made: made.txt, tree: tree/}}\n"
          "  held: {run: [PYTHON, held.py], inputs: [raw, made, tree], code: [helper.py], outputs: {held: held.txt}}\n", sandbox="on")
    project.write("raw.csv", "id\n1\n")
    project.write("held.py", HELD)
    project.write("helper.py", "")
    steps = run(project)
    said = {words[2]: words[3] for words in (line.split() for line in project.sluice("log", "step:held").stdout.splitlines())}
    if "Landlock" not in json.dumps(project.json("show", "run:" + steps["held"]["run"])).replace("no Landlock", ""):
        return  # this kernel has none, and `show` said so
    assert {name for name, how in said.items() if how == "refused"} >= {"network", "datagrams", "server", "write", "object", "cut", "store", "clock"}, said
    assert said["pair"] == said["local"] == "allowed"
    assert (project.root / "held.txt").read_text() == "held" and not (project.root / "planted").exists()
    project.sluice("verify")


def test_an_undeclared_read_is_told_with_the_file(project):
    write(project, "steps:\n"
          "  named: {run: 'cat other.txt > $SLUICE_OUTPUT_a', outputs: {a: a.txt}}\n"
          "  allowed: {run: [PYTHON, reads.py], sandbox: {read: [lib]}}\n"
          "  reads: {run: [PYTHON, reads.py]}\n"
          "  links: {run: [PYTHON, links.py]}\n"
          "  imports: {run: [PYTHON, imports.py]}\n"
          "  silent: {run: 'cat lib/$(echo x).txt 2> /dev/null'}\n"
          "  writes: {run: 'echo > lib/new.txt'}\n"
          "  runs: {run: './$(echo lib)/tool'}\n"
          "  connects: {run: [PYTHON, connects.py]}\n"
          f"  beside: {{run: [{project.root}/bin/tool]}}\n"
          "  well: {run: 'cat lib/$(echo x).txt; true'}\n"
          "  free: {run: [PYTHON, reads.py], sandbox: off}\n", sandbox="on")
    project.write("other.txt", "named by the command\n")
    project.write("lib/x.txt", "x\n")
    project.write("lib/tool", "#!/bin/sh\n").chmod(0o755)
    project.write("bin/tool", "#!/bin/sh\ncat lib/x.txt\n").chmod(0o755)
    project.write("reads.py", "open('lib/x.txt')\n")
    project.write("links.py", "import os\nos.chdir(os.environ['TMPDIR'])\nos.symlink(os.environ['SLUICE_PROJECT'] + '/lib', 'l')\nopen('l/../lib/x.txt')\n")
    project.write("imports.py", "import helper\n")
    project.write("helper.py", "")
    project.write("connects.py", "import socket\nsocket.create_connection(('127.0.0.1', 9))\n")
    steps = run(project, "--keep-going", status=1)
    if "Landlock" not in json.dumps(project.json("show", "run:" + steps["reads"]["run"])).replace("no Landlock", ""):
        return
    causes = {"reads": "reading lib/x.txt", "beside": "reading lib/x.txt", "links": "reading lib/x.txt", "imports": "reading helper.py", "silent": "reading lib/x.txt", "writes": "writing lib/new.txt",
              "runs": "running lib/tool", "connects": "connecting to 127.0.0.1:9"}
    assert {name for name, step in steps.items() if step["state"] == "ok"} == set(steps) - set(causes)
    for name, refused in causes.items():
        assert "its sandbox refused " + refused in steps[name]["cause"], steps[name]["cause"]
    shown = project.json("show", "run:" + steps["well"]["run"])
    assert "reading lib/x.txt" in json.dumps(shown), shown  # it ended well, and what it was refused is on record all the same


def test_the_network_only_when_asked(project):
    write(project, "steps:\n  a: {run: [PYTHON, a.py], sandbox: {network: true}}\n")
    project.write("a.py", "import socket\ntry:\n    socket.create_connection(('127.0.0.1', 1), 1)\nexcept ConnectionRefusedError:\n    pass\n")
    assert run(project)["a"]["state"] == "ok"


def test_limits_end_a_step_with_the_cause(project):
    write(project, "steps:\n"
          "  spins: {run: 'while :; do :; done', limits: {cpu_time: 1s}}\n"
          "  writes: {run: [/bin/sh, -c, 'exec head -c 2000000 /dev/zero > $TMPDIR/x'], sandbox: on, limits: {file_size: 1MB}}\n"
          "  opens: {run: [PYTHON, opens.py], limits: {open_files: 32}}\n")
    project.write("opens.py", "import resource\nassert resource.getrlimit(resource.RLIMIT_NOFILE) == (32, 32)\n")
    steps = run(project, "--keep-going", status=1)
    assert steps["spins"]["cause"] == "1.0 s of processor time used, its limit" and "a file grew beyond" in steps["writes"]["cause"], steps
    assert steps["opens"]["state"] == "ok"


# ---- each over a query --------------------------------------------------------------------------------------------------------------------------

CITIES = """
project: cities
sources: {raw: data/raw.csv}
steps:
  names: {sql: "select distinct city from raw"}
  part: {each: {city: {query: "select city from names order by city"}}, sql: "select * from raw where city = $city"}
  total: {sql: "select city, count(*) as n from part group by city"}
"""


def cities(project, *names, yaml=CITIES):
    project.write("data/raw.csv", "city,n\n" + "".join(f"{name},{i}\n" for i, name in enumerate(names)))
    project.write("sluice.yaml", yaml)
    project.sluice("init", status=None)


def ran(done):
    return sorted(line.split()[1].rstrip(":") for line in done.stderr.splitlines() if line.startswith("ok "))


def total(project):
    return {row["city"]: row["n"] for row in project.json("sql", "select * from total")["items"]}


def test_each_over_a_query_makes_one_instance_per_row(project):
    cities(project, "Rome", "Oslo", "Rome")
    assert "part.unknown  its query was not asked yet" in project.sluice("run", "-n").stdout
    assert ran(project.sluice("run")) == ["names", "part.Oslo", "part.Rome", "raw", "total"]
    assert total(project) == {"Rome": 2, "Oslo": 1}
    assert "nothing changed" in project.sluice("run").stdout
    assert "nothing changed" in project.sluice("run", "-n").stdout
    cities(project, "Rome", "Oslo", "Lima's; drop")  # another answer: one more, and what is gone is not read
    assert "part.Oslo" in project.sluice("run").stderr
    assert total(project) == {"Rome": 1, "Oslo": 1, "Lima's; drop": 1}
    cities(project, "Rome")
    project.sluice("run")
    assert total(project) == {"Rome": 1}


def test_an_answer_that_stays_runs_nothing_anew(project):
    yaml = CITIES.replace("select * from raw where city = $city", "select $city as city")
    cities(project, "Rome", "Oslo", yaml=yaml)
    project.sluice("run")
    cities(project, "Oslo", "Rome", "Rome", yaml=yaml)  # names is made anew with the same rows, and the answer is the same
    assert ran(project.sluice("run")) in (["names", "raw"], ["raw"])
    project.sluice("run", "raw", "--force")
    assert "nothing changed" in project.sluice("run").stdout


def test_a_query_is_asked_only_for_steps_that_are_wanted(project):
    cities(project, "Rome")
    assert ran(project.sluice("run", "raw")) == ["raw"]
    assert not (project.root / ".sluice/each").exists()
    assert ran(project.sluice("run", "part")) == ["names", "part.Rome"]


def test_wrong_queries_are_told_with_their_place(project):
    for query, said in (("select city, n from raw", "gives one column, and this one gives 2"), ("select null::text as x from raw", "gives a null"),
                        ("select * from nowhere", "nowhere"), ("select city from raw where n = $n", "takes no parameters"),
                        ("select range from range(10001)", "more than 10000 rows"), ("select city from raw where false", "finds nothing"),
                        ("select now() as t", "strftime"), ("selec city", "syntax error")):
        cities(project, "Rome", yaml=CITIES.replace("select city from names order by city", query))
        done = project.sluice("run", status=2)
        assert said in done.stderr and "sluice.yaml:6:" in done.stderr, (query, done.stderr)


FLEES = """\
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for i in range(4):
    if os.fork() == 0:
        os.environ.clear()
        hops = os.open("hops", os.O_WRONLY | os.O_APPEND)
        while True:  # each lives a moment, in a session of its own, and leaves a child behind
            if os.fork():
                os._exit(0)
            os.setsid()
            os.write(hops, b".")
            time.sleep(0.001)
signal.pause()
"""


def test_what_flees_is_caught(project):
    """Double forks, sessions of their own, deaf to SIGTERM, and a new number every millisecond."""
    write(project, "steps:\n  a: {run: [PYTHON, flees.py], timeout: 300ms, sandbox: {write: [hops]}}\n")
    project.write("flees.py", FLEES)
    project.write("hops", "")
    cause = run(project, status=1)["a"]["cause"]
    assert cause == "timed out after 300 ms", cause
    sizes = [(project.root / "hops").stat().st_size]  # grows as long as one of them lives: a list of processes misses who has a new number every time
    assert sizes[0] > 0
    wait_until(lambda: sizes.append((project.root / "hops").stat().st_size) or sizes[-20:] == sizes[-1:] * 20, seconds=10, what="the end of what fled")
