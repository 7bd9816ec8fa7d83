#!/usr/bin/env python3
"""Writes seeds/<target>/: inputs to start from, small enough to be kept with the targets. `make_seeds.py --check` changes
nothing and fails if they differ from what would be written. What the bytes mean is said in src/lib.rs (`cook`) and
src/native.rs (`run`)."""
import base64
import hashlib
import hmac
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
NOW = 1_700_000_000_000
KEY = bytes.fromhex("9d1f4c0e7ab3528866f05be92d47c1a3fe08b6d5137a9c24e0815d6ff2b34a77")
NAME = b"__Host-session"


def mac(key, message):
    return hmac.digest(key, message, hashlib.sha256)


def lp(text):
    return len(text).to_bytes(2, "big") + text


def expand(info):
    return mac(mac(b"http-session/v1", KEY), info + b"\1")


def body(json, created=NOW, issued=NOW, authenticated=0, max_age=0, flags=0):
    return (bytes([flags]) + b"".join(at.to_bytes(6, "big") for at in (created, issued, authenticated))
            + max_age.to_bytes(4, "big") + bytes(range(16)) + json)


def signed_frame(json):
    data = body(json)
    head = b"\1" + expand(lp(b"key-id"))[:4] + (len(data) + 40).to_bytes(3, "big")
    return head + data + mac(expand(lp(b"signed") + lp(b"") + lp(NAME)), head + data)


def piece(what, which=0):
    return bytes([1, what, which])


WHOLE, PAIR, NAME_OF, VALUE, FIRST_HALF, SECOND_HALF = range(6)
JSON = {
    "empty": b"{}",
    "small": b'{"user":42,"cart":["apple","pear"],"admin":false}',
    "numbers": b'{"big":123456789012345678901234567890,"f":1.10,"e":1E+2,"h":1e400,"z":-0,"m":-0.0}',
    "text": '{"é":"\\u00e9\\ud83d\\ude80\\"\\\\\\/\\b\\f\\n\\r\\t","東":"🚀","":""}'.encode(),
    "space": b' { "a" : [ 1 , 2 ] ,\t"b" : { } ,\r\n "a" : null } ',
    "twice": b'{"a":1,"b":2,"\\u0061":3,"new":"value"}',
    "deep": b'{"a":' + b"[" * 60 + b"]" * 60 + b"}",
    "many": b"{" + b",".join(b'"%d":%d' % (n, n) for n in range(70)) + b"}",
    "array": b"[{}]",
    "half": b'{"a":"\\ud800","\\udc00":1}',
    "broken": b'{"a":tru}',
    "latin": b'{"a":"\xff"}',
}


def seeds():
    for which in range(6):
        yield "cookies", f"whole-{which}", bytes([which]) + piece(WHOLE)
        yield "cookies", f"among-others-{which}", bytes([which]) + b"theme=dark;" + piece(PAIR, 1) + b";\tconsent=\"a b\"; x"
        yield "cookies", f"twice-{which}", bytes([which]) + piece(PAIR) + b"; " + piece(PAIR, 1) + b"\2" + piece(PAIR, 2)
        yield "cookies", f"other-names-{which}", (bytes([which]) + b"x" + piece(PAIR) + b";%5f" + piece(PAIR) + b";="
                                                 + piece(PAIR) + b"; " + piece(NAME_OF) + b" = " + piece(VALUE) + b"\t")
        yield "cookies", f"halves-{which}", (bytes([which]) + piece(NAME_OF) + b"=" + piece(FIRST_HALF) + piece(SECOND_HALF, 1)
                                            + b"; " + piece(NAME_OF) + b'="' + piece(VALUE) + b'"')
    yield "cookies", "old-names", b"\3sid=" + piece(VALUE) + b"; __Host-session=" + piece(VALUE) + b"; __Host-session.1=x"
    for which in range(2):
        for deed in range(4):
            start = bytes([which, deed])
            yield "tickets", f"whole-{which}-{deed}", start + piece(WHOLE)
            yield "tickets", f"two-{which}-{deed}", start + piece(PAIR) + b"; " + piece(PAIR, 1)
            yield "tickets", f"other-secret-{which}-{deed}", (start + piece(NAME_OF) + b"=" + piece(FIRST_HALF)
                                                             + piece(SECOND_HALF, 1))
            yield "tickets", f"unknown-{which}-{deed}", start + piece(NAME_OF) + b"=" + b"A" * 64
            yield "tickets", f"many-{which}-{deed}", start + b"; ".join(
                piece(NAME_OF) + b"=" + bytes([letter]) * 64 for letter in b"ABCDEF") + b"; " + piece(PAIR, 2)
        for session in range(6):
            yield "chunks", f"whole-{which}-{session}", bytes([which]) + piece(WHOLE, session)
        parts = [b"; ".join(piece(PAIR, session + 6 * part) for part in order)
                 for session, order in ((1, (1, 0)), (4, (2, 0, 1)), (5, (3, 2, 1, 0)), (5, (0, 1, 3)), (5, (0, 1, 1, 2, 3)))]
        for number, line in enumerate(parts):
            yield "chunks", f"order-{which}-{number}", bytes([which]) + line
        yield "chunks", f"mixed-{which}", bytes([which]) + piece(PAIR, 1) + b"; " + piece(PAIR, 2 + 6)
        yield "chunks", f"stale-{which}", bytes([which]) + piece(PAIR, 0) + b"; " + piece(PAIR, 5 + 6) + b"; " + piece(PAIR, 5 + 12)
        yield "chunks", f"both-{which}", bytes([which]) + piece(WHOLE, 1) + b"; " + piece(WHOLE, 2)
        yield "chunks", f"cut-{which}", (bytes([which]) + piece(PAIR, 1) + b"; " + piece(NAME_OF, 1 + 6) + b"="
                                        + piece(FIRST_HALF, 1 + 6) + b"; " + piece(NAME_OF, 1 + 6) + b"=" + piece(VALUE, 1 + 6))
    for target in ("signed", "encrypted"):
        for name, json in JSON.items():
            yield target, f"json-{name}", b"\3" + json
        yield target, "body", b"\2" + body(JSON["small"], NOW - 1000, NOW, NOW - 500, 3600)
        yield target, "body-flags", b"\2" + body(JSON["small"], flags=1)
        yield target, "body-old", b"\2" + body(JSON["small"], issued=NOW - 14 * 86_400_000 - 1)
        yield target, "body-early", b"\2" + body(JSON["small"], issued=NOW + 60_001)
        yield target, "body-own-age", b"\2" + body(JSON["small"], issued=NOW - 1001, max_age=1)
        yield target, "body-short", b"\2" + body(b"")[:-1]
    frame = signed_frame(JSON["small"])
    for target in ("signed", "encrypted"):
        yield target, "frame", b"\1" + frame
        yield target, "text", b"\0" + base64.urlsafe_b64encode(frame).rstrip(b"=")
        yield target, "text-padded", b"\0" + base64.urlsafe_b64encode(frame + b"\0")
        yield target, "text-nothing", b"\0"
    for name, json in JSON.items():
        yield "starlette", f"json-{name}", b"\2" + json
        yield "starlette", f"signed-{name}", b"\1" + base64.b64encode(json) + b".ZVQAAA"
    yield "starlette", "stamp", b"\3" + bytes(8) + JSON["small"]
    yield "starlette", "stamp-late", b"\3" + b"\xff" * 8 + JSON["small"]
    yield "starlette", "text", b"\0" + b"eyJ1c2VyIjogMX0=.ZVQAAA.8ytlFtJzLkFiGHDEOK5Ch7_RFJY"
    yield "starlette", "quoted", b'\0"eyJ1c2VyIjogMX0\\075.ZVQAAA.8ytlFtJzLkFiGHDEOK5Ch7_RFJY"'


def main():
    made = {HERE / "seeds" / target / name: data for target, name, data in seeds()}
    if "--check" in sys.argv[1:]:
        found = {path: path.read_bytes() for path in (HERE / "seeds").glob("*/*")}
        sys.exit(None if found == made else "fuzz/seeds is not what this program makes")
    for path, data in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    print(f"{len(made)} seeds, {sum(map(len, made.values()))} bytes")


if __name__ == "__main__":
    main()
