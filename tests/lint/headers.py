"""A .c under src/ includes its own header (that it has one for what it exports, the compiler checks); a header is guarded by its name."""
import re

import tree

PROGRAMS = {"src/app/main.c"}


def own_header_fault(path, lines):
    own = path.relative_to("src").with_suffix(".h")
    missing = (tree.ROOT / "src" / own).exists() and f'#include "{own}"' not in lines
    return "does not include its own header" if missing else None


def guard_fault(path, lines):
    guard = "SL_" + re.sub(r"\W", "_", str(path.relative_to("src"))).upper()
    return None if f"#ifndef {guard}" in lines and f"#define {guard}" in lines else f"the guard is not {guard}"


def main():
    offenders, checked = [], 0
    for path in tree.tracked(".c", ".h", under="src"):
        if str(path) in PROGRAMS:
            continue
        checked += 1
        fault = (own_header_fault if path.suffix == ".c" else guard_fault)(path, tree.lines(path))
        if fault:
            offenders.append(f"{path}: {fault}")
    tree.report(offenders, checked, "files")


main()
