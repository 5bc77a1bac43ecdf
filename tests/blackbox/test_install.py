"""`make install`: a folder that can be moved, with everything the program loads."""
import shutil
import subprocess

import pytest


@pytest.fixture(scope="module")
def installed(program, tmp_path_factory):
    """The installed tree, moved away from where it was installed to."""
    first, second = tmp_path_factory.mktemp("a") / "usr", tmp_path_factory.mktemp("b") / "moved"
    subprocess.run(["cmake", "--install", program.parent, "--prefix", first], check=True, stdout=subprocess.PIPE)
    shutil.move(first, second)
    return second


def test_runs_from_where_it_was_moved_to(installed):
    done = subprocess.run([installed / "bin" / "sluice", "version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_links_its_own_libraries_and_the_systems_only(installed):
    listed = subprocess.run(["ldd", installed / "bin" / "sluice"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "not found" not in listed
    assert f"{installed}/bin/../lib/sluice/libyyjson.so.0" in listed


@pytest.mark.parametrize("name", ["libduckdb.so", "libonnxruntime.so.1", "xgboost/lib/libxgboost.so", "libyyjson.so.0"])
def test_brings_each_library_whole(installed, name):
    library = installed / "lib" / "sluice" / name
    assert "not found" not in subprocess.run(["ldd", library], check=True, stdout=subprocess.PIPE, text=True).stdout


def test_brings_manual_completion_and_licences(installed):
    for path in ("share/man/man1/sluice.1", "share/bash-completion/completions/sluice", "share/zsh/site-functions/_sluice",
                 "share/doc/sluice/LICENSE", "share/doc/sluice/licenses/duckdb"):
        assert (installed / path).stat().st_size > 0


def test_leaves_no_path_of_the_building_machine(installed, program):
    if b"__asan_init" in program.read_bytes():
        pytest.skip("AddressSanitizer keeps the paths of the sources")
    source = str(program.parents[2]).encode()
    assert source not in (installed / "bin" / "sluice").read_bytes()
