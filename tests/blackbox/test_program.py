"""The program as a program: what it links, what it costs to start, how it refuses."""
import subprocess


def test_heavy_libraries_are_loaded_on_first_use_only(program):
    needed = subprocess.run(["readelf", "-d", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "NEEDED" in needed
    for heavy in ("duckdb", "onnxruntime", "xgboost", "curl", "libpq", "rdkafka"):
        assert heavy not in needed


def test_libraries_are_found_beside_the_program(program):
    dynamic = subprocess.run(["readelf", "-d", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    paths = [line.split("[")[1].rstrip("]") for line in dynamic.splitlines() if "PATH" in line]
    assert paths == ["$ORIGIN/lib/sluice:$ORIGIN/../lib/sluice"]


def test_unknown_verb_is_the_users_mistake(project):
    done = project.sluice("statsu", status=2)
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
