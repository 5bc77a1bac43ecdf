"""Evidence: a bundle proves itself where there is no store; whatever is changed in it is named."""
import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from conftest import Project
from test_proof import CHECK, whole  # noqa: F401  the store with one of everything

MEMBERS = ["INDEX", "card.html", "checkpoint", "key.pub", "lineage.json", "package.json", "proofs.jsonl", "rows.json", "runs.jsonl"]


@pytest.fixture(scope="module")
def bundle(whole, tmp_path_factory):
    path = tmp_path_factory.mktemp("evidence") / "trip.tar"
    told = whole.json("evidence", "trip@1", "-o", path)
    assert told["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and told["of"] == "model:trip@1"
    return path


@pytest.fixture
def nowhere(program, tmp_path):
    """A folder without a project."""
    return Project(tmp_path)


def members(bundle):
    with tarfile.open(bundle) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers()}


def refuse(project, data, what):
    """The program finds fault with the bytes, and its words name `what`."""
    path = project.root / "bad.tar"
    path.write_bytes(data)
    done = project.sluice("verify", path, status=3)
    assert re.search(what, done.stdout + done.stderr), f"wanted {what!r}: {done.stdout}{done.stderr}"


def test_a_bundle_is_proved_without_a_store(whole, bundle, nowhere):
    shutil.copy(bundle, nowhere.root / "copy.tar")
    told = nowhere.json("verify", "copy.tar", "--key", whole.root / ".sluice/ledger/key.pub")
    assert told["verdict"] == "ok" and told["of"] == "model:trip@1" and told["members"] == len(MEMBERS)
    assert told["rows"] > 10 and told["runs"] >= 4 and told["entries"] > 10
    assert told["key"] == (whole.root / ".sluice/ledger/key.pub").read_text().strip()
    other = nowhere.root / "key.pub"
    other.write_text((whole.root / ".sluice/ledger/checkpoint").read_text())
    nowhere.sluice("verify", "copy.tar", "--key", other, status=3)
    again = nowhere.root / "again.tar"
    whole.sluice("evidence", "trip@1", "-o", again)
    assert again.read_bytes() == bundle.read_bytes()  # equal as long as the ledger is


def test_members_hold_what_the_store_says(whole, bundle):
    with tarfile.open(bundle) as archive:
        infos = archive.getmembers()
    assert [m.name for m in infos] == MEMBERS and all((m.uid, m.gid, m.mtime, m.mode, m.isreg()) == (0, 0, 0, 0o644, True) for m in infos)
    got = members(bundle)
    model = whole.json("show", "model:trip@1")
    rows = json.loads(got["rows.json"])
    assert rows["model_version"][0][2] == model["hash"] == hashlib.sha256(got["package.json"]).hexdigest()
    assert json.loads(rows["model_version"][0][6]) == model["metrics"] and json.loads(rows["model_version"][0][5]) == model["gate"]
    assert json.loads(got["lineage.json"]) == whole.json("why", "model:trip@1")
    windows = [w for w in whole.json("sql", "select * from windows order by to_ms desc")["items"] if '"1":' in w["evidence"]]
    assert windows and [r[1:3] for r in rows["monitor_window"]] == [[w["from_ms"], w["to_ms"]] for w in windows]
    assert rows["event"] and rows["trigger_firing"] and rows["alias_move"] and rows["check_result"]
    ended = {r["id"]: r["record"] for r in whole.json("sql", "select id, record from runs")["items"]}
    environments = [json.loads(json.loads(line)["environment"]) for line in got["runs.jsonl"].splitlines()]
    assert any(e.get("program") == "sluice" and "host" in e for e in environments)
    for line in got["runs.jsonl"].splitlines():
        assert ended[json.loads(line)["id"]] == hashlib.sha256(line).hexdigest()


def test_the_card_stands_for_itself(bundle):
    card = members(bundle)["card.html"].decode()
    assert "model:trip@1" in card and "log_loss" in card and "champion" in card and "data/trips.csv" in card
    assert not re.search(r"<script|<link|<img|src=|href=|url\(", card)


def test_every_proof_is_one_of_its_own(whole, bundle, tmp_path):
    proof = tmp_path / "x.proof"
    for line in members(bundle)["proofs.jsonl"].splitlines()[::7]:
        proof.write_bytes(line)
        done = subprocess.run([sys.executable, CHECK, proof, "--key", whole.root / ".sluice/ledger/key.pub"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_flipped_bit_is_named(bundle, nowhere):
    data = bundle.read_bytes()
    with tarfile.open(bundle) as archive:
        infos = archive.getmembers()
    for number, info in enumerate(infos):
        inside = sorted({0, info.size // 3, info.size // 2, info.size - 1})
        for at in [info.offset_data + i for i in inside] + [info.offset + i for i in (1, 100, 108, 124, 136, 148, 156, 157, 257, 265, 345, 511)]:
            changed = bytearray(data)
            changed[at] ^= 1 << (at + number) % 7
            refuse(nowhere, changed, "" if at < info.offset_data and at % 512 < 2 else info.name.replace("key.pub", "key|sign"))
        if info.size % 512:
            changed = bytearray(data)
            changed[info.offset_data + info.size] = 1
            refuse(nowhere, changed, info.name + ".*padding")


def pack(contents, change=None, order=None):
    """Contents as an archive like the program's own; `change` alters a member's header."""
    out = b""
    for name in order or sorted(contents):
        info = tarfile.TarInfo(name)
        info.size, info.mtime, info.mode = len(contents[name]), 0, 0o644
        if change:
            change(info)
        head = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
        head[329:345] = b"0000000\0" * 2  # Python leaves the device of a plain file empty
        head[148:156] = b" " * 8
        head[148:156] = b"%06o\0 " % sum(head)
        out += head + (contents[name] + bytes(-info.size % 512) if info.size else b"")
    return out + bytes(1024)


def test_members_taken_away_added_or_moved_are_named(bundle, nowhere):
    good = members(bundle)
    assert pack(good) == bundle.read_bytes()
    for name in MEMBERS:
        refuse(nowhere, pack({k: v for k, v in good.items() if k != name}), name + ".*missing")
    refuse(nowhere, pack({**good, "extra": b"x"}), "extra.*does not belong")
    refuse(nowhere, pack({**good, "zzz": b"x"}), "zzz.*does not belong")
    refuse(nowhere, pack(good, order=MEMBERS[:3] + [MEMBERS[4], MEMBERS[3]] + MEMBERS[5:]), "key.pub")
    refuse(nowhere, pack(good, order=MEMBERS[:2] + ["card.html"] + MEMBERS[2:]), "card.html.*twice")
    for kind, word in ((tarfile.SYMTYPE, "symbolic link"), (tarfile.LNKTYPE, "hard link"), (tarfile.CHRTYPE, "device"), (tarfile.DIRTYPE, "no name"), (tarfile.FIFOTYPE, "FIFO")):
        def change(info):
            if info.name == "lineage.json":
                info.type, info.linkname, info.size = kind, "/etc/passwd", 0
        refuse(nowhere, pack(good, change), "lineage.json.*" + word)
    refuse(nowhere, pack({**good, "../out": b"x"}), r"\.\./out")
    refuse(nowhere, bundle.read_bytes() + b"x", "does not end")
    refuse(nowhere, bundle.read_bytes()[:-512], "does not end")
    refuse(nowhere, bundle.read_bytes()[:1700], "cut off")
    refuse(nowhere, b"", "cut off")


def test_members_with_a_made_up_index_are_not_believed(bundle, nowhere):
    """Somebody without the key, who changes a figure and its line in the index."""
    got = members(bundle)
    for name, old, new in (("card.html", b"champion", b"chimpion"), ("rows.json", b'"champion"', b'"chimpion"'), ("runs.jsonl", b'"ok"', b'"OK"')):
        assert old in got[name]
        changed = got[name].replace(old, new, 1)
        index = got["INDEX"].replace(hashlib.sha256(got[name]).hexdigest().encode(), hashlib.sha256(changed).hexdigest().encode())
        refuse(nowhere, pack({**got, name: changed, "INDEX": index}), "INDEX.*not signed")


def test_whoever_has_the_key_must_still_agree_with_the_ledger(whole, bundle, nowhere):
    """The index is signed again, over members that the entries do not bear out."""
    secret = base64.b64decode((whole.root / ".sluice/key/ledger.key").read_text().strip().split("+", 4)[-1])[1:]
    key, got = Ed25519PrivateKey.from_private_bytes(secret), members(bundle)
    for name, old, new, what in (("card.html", b"log_loss", b"log_gain", "card.html.*line"), ("rows.json", b'"champion"', b'"chimpion"', "rows.json.*row"),
                                 ("runs.jsonl", b'"ok"', b'"OK"', "runs.jsonl.*record"), ("package.json", b'"late"', b'"tate"', "package.json.*SHA-256"),
                                 ("proofs.jsonl", b"model.create", b"model.krnate", "proofs.jsonl.*leaf")):
        assert old in got[name], name
        changed = {**got, name: got[name].replace(old, new, 1)}
        body = "".join(got["INDEX"].decode().splitlines(True)[:2]) + "".join(f"{hashlib.sha256(changed[m]).hexdigest()} {len(changed[m])} {m}\n" for m in MEMBERS[1:])
        line = got["INDEX"].decode().splitlines()[-1].rsplit(" ", 1)
        signature = base64.b64decode(line[1])[:4] + key.sign(body.encode())
        changed["INDEX"] = f"{body}\n{line[0]} {base64.b64encode(signature).decode()}\n".encode()
        refuse(nowhere, pack(changed), what)


def test_what_has_no_evidence_is_told(whole, tmp_path):
    assert "nobody" in whole.sluice("evidence", "nobody", status=2).stderr
    whole.sluice("evidence", "dataset:rows", status=2)
    whole.sluice("verify", "--key", "x", status=2)
    whole.sluice("verify", tmp_path / "none.tar", status=2)


RELATIONS = {"wasGeneratedBy": ("prov:entity", "prov:activity"), "used": ("prov:activity", "prov:entity"), "wasStartedBy": ("prov:activity", "prov:starter"),
             "wasDerivedFrom": ("prov:generatedEntity", "prov:usedEntity"), "specializationOf": ("prov:specificEntity", "prov:generalEntity"),
             "wasAssociatedWith": ("prov:activity", "prov:agent")}


@pytest.mark.parametrize("ref", ["model:trip@1", "file:data/trips.csv --down", "prediction"])
def test_lineage_as_prov(whole, ref):
    """Against the structure that PROV-JSON prescribes: every relation's ends exist and are of the right kind; nothing of the graph is lost."""
    if ref == "prediction":
        ref = "prediction:" + whole.json("sql", "select id from predictions limit 1")["items"][0]["id"]
    graph, prov = whole.json("why", *ref.split()), json.loads(whole.sluice("why", *ref.split(), "--format", "prov").stdout)
    assert set(prov) <= {"prefix", "entity", "activity", "agent", *RELATIONS}
    ends = {"entity": "entity", "generatedEntity": "entity", "usedEntity": "entity", "specificEntity": "entity", "generalEntity": "entity", "activity": "activity", "starter": "activity", "agent": "agent"}
    for relation, (first, second) in RELATIONS.items():
        for key, one in prov.get(relation, {}).items():
            assert key.startswith("_:") and set(one) == {first, second}
            for name, value in one.items():
                assert value in prov[ends[name.partition(":")[2]]], (relation, one)
    things = {**prov["entity"], **prov["activity"]}
    assert set(things) == {n["id"] for n in graph["nodes"]} and all(name.partition(":")[0] in prov["prefix"] for name in things)
    assert all(prov["entity"][n["id"]]["sluice:sha256"] == n["hash"] for n in graph["nodes"] if "hash" in n)
    assert sum(len(prov.get(r, {})) for r in RELATIONS if r != "wasAssociatedWith") == len(graph["edges"])
    assert all(a["prov:startTime"] for a in prov["activity"].values())
