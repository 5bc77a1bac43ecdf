"""What the lints share: the files of the tree, and how an offender is shown. Python's own library only."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def tracked(*suffixes, under=""):
    """The files that git would commit, relative to the root: new ones included, ignored ones not."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", under or "."],
                         cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    paths = [pathlib.PurePosixPath(p) for p in sorted(set(out.split("\0"))) if p]
    return [p for p in paths if (not suffixes or p.suffix in suffixes) and (ROOT / p).is_file() and not (ROOT / p).is_symlink()]


def lines(path):
    return (ROOT / path).read_text(encoding="utf-8").split("\n")


def report(offenders, checked, what):
    """Prints the offenders and ends the program: 1 when there is one, and when nothing was looked at."""
    for offender in offenders:
        print(offender)
    print(f"{checked} {what} looked at, {len(offenders)} offenders")
    sys.exit(1 if offenders or not checked else 0)
