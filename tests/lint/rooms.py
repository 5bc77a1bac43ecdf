"""The table of rooms in docs/architecture.md names every file under src/, each room once, and nothing that is gone."""
import re

import tree

PAGE = "docs/architecture.md"
ROW = re.compile(r"\| (\w+) \| [^|]+ \| ([\w ]+) \|")


def rooms_of_page():
    section = "\n".join(tree.lines(PAGE)).split("## The rooms\n")[1].split("\n## ")[0]
    return {m.group(1): m.group(2).split() for m in ROW.finditer(section) if m.group(1) != "room"}


def rooms_of_tree():
    rooms = {}
    for path in tree.tracked(".c", ".h", under="src"):
        rooms.setdefault(path.parts[1], set()).add("/".join(path.parts[2:])[:-2])
    return rooms


def main():
    page, found, offenders = rooms_of_page(), rooms_of_tree(), []
    for room in sorted(page.keys() | found.keys()):
        said, there = page.get(room, []), found.get(room, set())
        offenders += [f"{PAGE}: {room}/{name} is not there" for name in sorted(set(said) - there)]
        offenders += [f"{PAGE}: {room}/{name} is missing in the table" for name in sorted(there - set(said))]
    tree.report(offenders, sum(map(len, found.values())), "files")


main()
