"""Every relative link of a Markdown page leads to a file of the tree, and every quoted path under src/, tests/, tools/ exists."""
import re

import tree

LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
PATH = re.compile(r"`((?:src|tests|tools|docs|fuzz|bench|cmake|examples|spec)/[\w./-]+\.\w+)`")


def main():
    offenders, checked = [], 0
    for page in tree.tracked(".md"):
        for number, line in enumerate(tree.lines(page), 1):
            targets = [page.parent / m.group(1) for m in LINK.finditer(line) if ":" not in m.group(1)]
            targets += [type(page)(m.group(1)) for m in PATH.finditer(line) if "test_x" not in m.group(1) and "fuzz_x" not in m.group(1)]
            checked += len(targets)
            offenders += [f"{page}:{number}: {t} does not exist" for t in targets if not (tree.ROOT / t).exists()]
    tree.report(offenders, checked, "links")


main()
