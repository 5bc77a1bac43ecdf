"""The table of rooms in docs/architecture.md names every folder under src/ once, nothing that is gone, and a file to begin at."""
import re

import tree

PAGE = "docs/architecture.md"
ROW = re.compile(r"\| (\w+) \| [^|]+ \| ([\w.]+) \|")


def rooms_of_page():
    section = "\n".join(tree.lines(PAGE)).split("## The rooms\n")[1].split("\n## ")[0]
    return [m.groups() for m in ROW.finditer(section)]


def main():
    page, files = rooms_of_page(), {path.as_posix() for path in tree.tracked(".c", ".h", under="src")}
    found, named = {path.split("/")[1] for path in files}, [room for room, _ in page]
    offenders = [f"{PAGE}: {room} is there twice" for room in sorted(set(named)) if named.count(room) > 1]
    offenders += [f"{PAGE}: {room} is not there" for room in sorted(set(named) - found)]
    offenders += [f"{PAGE}: {room} is missing in the table" for room in sorted(found - set(named))]
    offenders += [f"{PAGE}: {room} begins at {begin}, which is not there" for room, begin in page if f"src/{room}/{begin}" not in files]
    tree.report(offenders, len(found), "rooms")


main()
