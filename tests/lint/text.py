"""Text without surprises: tabs in C, no blanks at line ends, no notes to oneself, UTF-8 with a newline at the end."""
import re

import tree

TEXT = {".c", ".h", ".py", ".sh", ".cmake", ".md", ".txt", ".sql", ".yaml", ".yml", ".json", ".html", ".css", ".js", ".ts", ""}
# Put together here so that this file is no offender itself.
NOTE = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"]) + r")\b|(?<!\")not (yet )?implem" + "ented")
SAMPLES = ("fuzz/corpus/", "tests/data/", "third_party/")


def faults(path, lines):
    for number, line in enumerate(lines, 1):
        if line.rstrip() != line:
            yield number, "blanks at the end of the line"
        if NOTE.search(line):
            yield number, "a note to oneself"
        if path.suffix in (".c", ".h"):
            if re.match(r" +(?!\*)\S", line) or re.match(r"\t* +\t", line):
                yield number, "indented with spaces"
    if lines[-1] != "":
        yield len(lines), "no newline at the end of the file"


def main():
    offenders, checked = [], 0
    for path in tree.tracked():
        if path.suffix not in TEXT or str(path).startswith(SAMPLES):
            continue
        checked += 1
        try:
            lines = tree.lines(path)
        except UnicodeDecodeError:
            if path.suffix:
                offenders.append(f"{path}: not UTF-8")
            continue
        offenders += [f"{path}:{number}: {what}" for number, what in faults(path, lines)]
    tree.report(offenders, checked, "files")


main()
