"""Every .c under src/ includes first the header that declares it; every header is guarded by its own name."""
import re

import tree

PROGRAMS = {"src/app/main.c"}


def declares(header, path):
    """Whether `header` may be where `path` is declared: its own, that of a port, or that of the file it was split from."""
    room, _, name = header.partition("/")
    stem = name.removesuffix(".h").removesuffix("_internal")
    if path.parts[1] == "backend" and room == "port":
        return True
    return room == path.parts[1] and (path.stem == stem or path.stem.startswith(stem + "_"))


def own_header_fault(path, lines):
    first = next((line for line in lines if line.lstrip().startswith("#include")), "")
    header = first.removeprefix('#include "').rstrip('"')
    if (tree.ROOT / path.with_suffix(".h")).exists() and header != str(path.relative_to("src").with_suffix(".h")):
        return "does not include its own header first, which would prove that the header stands alone"
    return None if declares(header, path) else f"its first include, '{first}', is not the header that declares it"


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
