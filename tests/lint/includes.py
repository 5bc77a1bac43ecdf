"""Includes point downwards only, and third-party headers stay in their rooms (floors.txt)."""
import re

import tree

INCLUDE = re.compile(r'\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Headers of C, POSIX and Linux; every other <...> belongs to a third party.
SYSTEM = re.compile(r"""(sys|linux|netinet|net|arpa|asm)/.*|
    (aio|alloca|assert|complex|ctype|dirent|dlfcn|endian|err|errno|execinfo|fcntl|fenv|float|fnmatch|getopt|glob|grp|ifaddrs|
     immintrin|inttypes|langinfo|libgen|limits|locale|malloc|math|mntent|netdb|poll|pthread|pty|pwd|regex|sched|semaphore|
     setjmp|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|syslog|
     termios|threads|time|uchar|ucontext|unistd|utime|wchar|wctype|wordexp|x86intrin)\.h""", re.X)
GENERATED = {"embedded", "gen"}  # made by tools/ from data, below every floor


class Floors:
    def __init__(self):
        self.level, self.only, self.third_party = {}, {}, []
        for line in tree.lines("tests/lint/floors.txt"):
            word, _, rest = line.partition(" ")
            if word == "floor":
                level = len(set(self.level.values()))
                self.level.update((room, level) for room in rest.split())
            elif word == "only":
                room, _, names = rest.partition(":")
                self.only[room.strip()] = set(names.split())
            elif word == "third-party":
                self.third_party.append(rest.strip())

    def refusal(self, room, target):
        """Why `room` may not include from `target`, or None."""
        if target == room or target in GENERATED:
            return None
        if target not in self.level:
            return f"'{target}' is on no floor"
        if self.level[target] <= self.level[room]:
            return f"{room} may not include {target}: it is not on a lower floor"
        if target in self.only and room not in self.only[target]:
            return f"{room} may not include {target}, only {', '.join(sorted(self.only[target]))} may"
        return None

    def takes_third_party(self, path):
        inside = str(path.relative_to("src"))
        return any(inside == p or inside.startswith(p + "/") for p in self.third_party)


def main():
    floors, offenders, checked = Floors(), [], 0
    for path in tree.tracked(".c", ".h", under="src"):
        room = path.parts[1]
        if room not in floors.level:
            offenders.append(f"{path}: room '{room}' is on no floor")
            continue
        for number, line in enumerate(tree.lines(path), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            checked += 1
            kind, name = match.groups()
            if kind == "<":
                bad = None if SYSTEM.fullmatch(name) or floors.takes_third_party(path) else f"third-party header <{name}>"
            else:
                bad = floors.refusal(room, name.split("/")[0]) if "/" in name else f'write "{room}/{name}"'
            if bad:
                offenders.append(f"{path}:{number}: {bad}")
    tree.report(offenders, checked, "includes")


main()
