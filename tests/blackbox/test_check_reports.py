"""Suggestions and reports: what a person, a CI server and a browser get."""
import base64
import hashlib
import html.parser
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

PROJECT = "project: p\nsources: {t: {path: t.csv, columns: {id: bigint, x: double, city: text, note: text}}}\n"
CHECKS = """datasets:
  t:
    checks:
      - between: {column: x, min: 0, max: 10}
      - {not_null: [note], severity: warn}
      - mean: {column: x, max: 1000}
"""
NASTY = '<script>alert("x")</script> & \u0001 \'q\' ]]>'


@pytest.fixture
def project(project):
    project.write("sluice.yaml", PROJECT)
    rows = [f'{i},{i % 10 + 0.5},{["Rome", "Oslo"][i % 2]},"{"" if i % 50 == 0 else "n" + str(i)}"' for i in range(500)]
    project.write("t.csv", "id,x,city,note\n" + "\n".join(rows) + "\n")
    project.sluice("init")
    project.sluice("run")
    return project


def test_a_suggestion_is_a_section_that_holds(project):
    text = project.sluice("check", "t", "--suggest").stdout
    for part in ('"columns":{"id":"BIGINT"', '"not_null":["id","x","city"]', '"in_set":{"column":"city","values":["Oslo","Rome"]}', '"unique":["id"]', '"finite":["x"]', '"mostly":0.96'):
        assert part in text, text
    assert all(" # " in line for line in text.splitlines()[3:] if line)
    project.write("sluice.yaml", PROJECT + text)
    project.sluice("run")
    assert "0 failed, 0 warned" in project.sluice("check", "t").stdout


def with_failures(project):
    project.write("sluice.yaml", PROJECT + CHECKS.replace("max: 10}", "max: 10, severity: warn}"))
    project.write("t.csv", "id,x,city,note\n1,50,Rome," + '"' + NASTY.replace('"', '""') + '"\n2,5,Oslo,\n')
    project.sluice("run")
    project.write("sluice.yaml", PROJECT + CHECKS)
    return project


def test_junit(project):
    with_failures(project).sluice("check", "t", "--report", "out.xml", status=1)
    root = ElementTree.parse(project.root / "out.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "3", "1")
    cases = root.findall("./testsuite/testcase")
    assert [c.get("name") for c in cases] == ["between(x)", "not_null(note)", "mean(x)"]
    failure = cases[0].find("failure")
    assert failure.get("message") == "1 of 2 rows" and "alert" in failure.text and "SELECT * FROM" in failure.text
    assert cases[1].find("failure") is None and "1 of 2 rows" in cases[1].find("system-out").text
    assert list(cases[2]) == []


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data):
        self.text += data


def test_html_stands_alone(project):
    with_failures(project).sluice("check", "t", "--report", "out.html", status=1)
    source = (project.root / "out.html").read_text()
    page = Page()
    page.feed(source)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in ("src", "href", "style") or a[1].startswith("on")]
    assert 'alert("x")' in page.text and "2 rows, 3 checks" in page.text and "prefers-color-scheme:dark" in source
    style = re.search("<style>(.*?)</style>", source, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(value for tag, name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"


def test_json_and_others(project):
    with_failures(project).sluice("check", "t", "--report", "out.json", status=1)
    report = json.loads((project.root / "out.json").read_text())
    assert [c["state"] for c in report["checks"]] == ["failed", "warned", "passed"] and report["failed"]
    assert ".html" in project.sluice("check", "t", "--report", "out.pdf", status=2).stderr
