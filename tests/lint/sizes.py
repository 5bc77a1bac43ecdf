"""A function is at most 70 lines, a file at most 1200, a line at most 200 columns (130 is the aim)."""
import tree

FUNCTION_LINES_MAX, FILE_LINES_MAX, COLUMNS_MAX = 70, 1200, 200


def functions(lines):
    """(line number, name, lines of the body) of each function: its braces stand alone in the first column."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start:
            yield start, lines[start - 2].strip(), number - start + 1
            start = None


def main():
    offenders, checked = [], 0
    for path in tree.tracked(".c", ".h"):
        lines = tree.lines(path)
        if len(lines) - 1 > FILE_LINES_MAX:
            offenders.append(f"{path}: {len(lines) - 1} lines, {FILE_LINES_MAX} are allowed")
        for number, line in enumerate(lines, 1):
            if len(line.expandtabs(8)) > COLUMNS_MAX:
                offenders.append(f"{path}:{number}: {len(line.expandtabs(8))} columns, {COLUMNS_MAX} are allowed")
        for number, name, size in functions(lines):
            checked += 1
            if size > FUNCTION_LINES_MAX:
                offenders.append(f"{path}:{number}: {size} lines in '{name}', {FUNCTION_LINES_MAX} are allowed")
    tree.report(offenders, checked, "functions")


main()
