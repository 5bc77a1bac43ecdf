#!/usr/bin/env python3
"""Checks a proof of one ledger entry off-line: signature, inclusion, and consistency with an older checkpoint.

usage: check_proof.py PROOF [--key FILE] [--since FILE]

PROOF is what `sluice verify --prove` wrote (docs/formats/proof.md). --key: the verifier key that must have signed (key.pub, kept from
before); --since: an older checkpoint that the proof must be consistent with. Needs nothing but Python 3.8; shares no code with sluice.
Exit status: 0 proved; 1 not, with the reason; 2 the command line is wrong or a file cannot be read.
"""
import argparse
import base64
import hashlib
import json
import sys

# ---- Ed25519 verification, RFC 8032 section 5.1.7, in plain integers (about 5 ms) --------------------------------------------------
P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    """Points in extended coordinates (X, Y, Z, T)."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P


def multiply(scalar, point):
    out = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            out = add(out, point)
        point, scalar = add(point, point), scalar >> 1
    return out


def decompress(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def verify_signature(public, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r, s = decompress(public), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = multiply(s, BASE), add(r, multiply(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (left[1] * right[2] - right[1] * left[2]) % P == 0


# ---- the Merkle tree: RFC 6962 section 2.1, checks as in RFC 9162 sections 2.1.3.2 and 2.1.4.2 -------------------------------------
class Bad(Exception):
    pass


def node(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def included_root(leaf, index, size, path):
    at, last, root = index, size - 1, leaf
    for piece in path:
        if last == 0:
            raise Bad("the audit path is too long")
        if at & 1 or at == last:
            root = node(piece, root)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            root = node(root, piece)
        at, last = at >> 1, last >> 1
    if last:
        raise Bad("the audit path is too short")
    return root


def check_consistency(old_size, old_root, size, root, path):
    if old_size == size:
        if path or old_root != root:
            raise Bad("two checkpoints of the same size have different roots")
        return
    if not 0 < old_size < size:
        raise Bad("the older checkpoint is not older")
    path = list(path) if old_size & (old_size - 1) else [old_root] + list(path)
    if not path:
        raise Bad("the consistency path is empty")
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    first = second = path[0]
    for piece in path[1:]:
        if last == 0:
            raise Bad("the consistency path is too long")
        if at & 1 or at == last:
            first, second = node(piece, first), node(piece, second)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            second = node(second, piece)
        at, last = at >> 1, last >> 1
    if last or first != old_root or second != root:
        raise Bad("the ledger is not a continuation of the older checkpoint")


# ---- signed notes (C2SP signed-note, tlog-checkpoint) ------------------------------------------------------------------------------
def read_key(text):
    """(origin, key hash, public key) of "<origin>+<hash>+<base 64 of 0x01 and the key>"."""
    origin, digest, rest = text.strip().split("+", 2)
    raw = base64.b64decode(rest, validate=True)
    if len(raw) != 33 or raw[0] != 1 or hashlib.sha256(origin.encode() + b"\n" + raw).hexdigest()[:8] != digest:
        raise Bad("the key is not one, or its hash differs")
    return origin, bytes.fromhex(digest), raw[1:]


def read_checkpoint(text, key, name):
    """(size, root) of a checkpoint that `key` has signed."""
    origin, digest, public = key
    body, _, signatures = text.partition("\n\n")
    lines = (body + "\n").split("\n")
    if len(lines) != 4 or lines[0] != origin or not lines[1].isdigit():
        raise Bad(f"{name} is not a checkpoint of {origin}")
    for line in signatures.split("\n"):
        if line.startswith(f"\u2014 {origin} "):
            raw = base64.b64decode(line.rsplit(" ", 1)[1], validate=True)
            if raw[:4] == digest and verify_signature(public, (body + "\n").encode(), raw[4:]):
                return int(lines[1]), base64.b64decode(lines[2], validate=True)
    raise Bad(f"{name} is not signed by the key")


def check(proof, key_text, since_text):
    if proof.get("format") != "sluice.proof/1":
        raise Bad("the format is not sluice.proof/1")
    if key_text is not None and key_text.strip() != proof["key"].strip():
        raise Bad("it is signed with another key than the one given")
    key = read_key(proof["key"])
    size, root = read_checkpoint(proof["checkpoint"], key, "the checkpoint")
    leaf, seq = hashlib.sha256(b"\0" + proof["entry"].encode()).digest(), proof["seq"]
    if leaf.hex() != proof["leaf"]:
        raise Bad("the leaf is not the hash of the entry")
    if not 0 <= seq < size or size != proof["size"] or json.loads(proof["entry"])["seq"] != seq:
        raise Bad("the numbers of entry and checkpoint do not agree")
    if included_root(leaf, seq, size, [bytes.fromhex(h) for h in proof["path"]]) != root:
        raise Bad("entry and path do not give the signed root")
    older = proof.get("consistency")
    if since_text is not None and (older is None or older["checkpoint"].strip() != since_text.strip()):
        raise Bad("it says nothing of the older checkpoint given: make it with --since")
    if older is not None:
        old_size, old_root = read_checkpoint(older["checkpoint"], key, "the older checkpoint")
        check_consistency(old_size, old_root, size, root, [bytes.fromhex(h) for h in older["path"]])
    return f"entry {seq} is one of the {size} that {key[0]} has signed" + (f", which go on from the first {old_size}" if older else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("proof")
    parser.add_argument("--key")
    parser.add_argument("--since")
    options = parser.parse_args()
    try:
        texts = [open(path, encoding="utf-8").read() if path else None for path in (options.proof, options.key, options.since)]
    except OSError as why:
        print(why, file=sys.stderr)
        return 2
    try:
        print("proved:", check(json.loads(texts[0]), texts[1], texts[2]))
    except (Bad, ValueError, KeyError, TypeError, AttributeError) as why:
        print(f"not proved: {type(why).__name__ if not isinstance(why, Bad) else ''}{' ' if not isinstance(why, Bad) else ''}{why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
