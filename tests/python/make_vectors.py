#!/usr/bin/env python3
"""Writes ../vectors/native.json: known answers for the native cookie format (docs/format.md).

    make_vectors.py            write the file, then check it
    make_vectors.py --check    change nothing: fail if the file differs from what would be written

The bytes are built here with other means than the reader uses (struct, `cryptography`'s HKDF, its low-level GCM, base64
by arithmetic), so that a slip in one of the two shows. At the end the reader reads everything that was made, and the
worked examples in docs/format.md are compared with the vectors of the same name. Nothing is random: the same file
comes out every time.
"""
import binascii
import hashlib
import json
import struct
import sys
from pathlib import Path

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

import read_session_cookie as reader

HERE = Path(__file__).resolve().parent
VECTORS = HERE.parent / "vectors" / "native.json"
FORMAT = HERE.parent.parent / "docs" / "format.md"

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STANDARD = ALPHABET.translate(str.maketrans("-_", "+/"))
SIGNED, ENCRYPTED = 1, 2
NAMES = {SIGNED: "signed", ENCRYPTED: "encrypted"}


# --- the format, from the specification ---------------------------------------------------------------------------

def to_base64(data, alphabet=ALPHABET, unused=0):
    """Base64 without padding; `unused` is put into the bits of the last digit that stand for nothing."""
    spare = -8 * len(data) % 6
    number = int.from_bytes(data, "big") << spare | unused
    digits = (8 * len(data) + spare) // 6
    return "".join(alphabet[number >> 6 * i & 63] for i in reversed(range(digits)))


def hmac_sha256(key, message):
    h = hmac.HMAC(key, hashes.SHA256())
    h.update(message)
    return h.finalize()


def lp(text):
    data = text.encode("utf-8")
    return struct.pack(">H", len(data)) + data


def hkdf_expand(prk, info, length):
    return HKDFExpand(hashes.SHA256(), length, info).derive(prk)


def derive(key, kind, app, name):
    """PRK, key id and the key for one type, application and cookie name, from the bytes of a key."""
    prk = hmac_sha256(b"http-session/v1", key)
    return prk, hkdf_expand(prk, lp("key-id"), 4), hkdf_expand(prk, lp(NAMES[kind]) + lp(app) + lp(name), 32)


def meta_bytes(v, flags=0):
    def six(milliseconds):
        return struct.pack(">Q", milliseconds)[2:]

    return (struct.pack(">B", flags) + six(v["created"]) + six(v["issued"]) + six(v["authenticated"])
            + struct.pack(">I", v["max_age"]) + bytes.fromhex(v["sid"]))


def gcm(key, data, aad):
    sealer = Cipher(algorithms.AES(key), modes.GCM(bytes(12))).encryptor()
    sealer.authenticate_additional_data(aad)
    return sealer.update(data) + sealer.finalize() + sealer.tag


def frame(v, *, flags=0, type_byte=None, length=None, purpose=None, cut=None):
    """The bytes of the cookie of vector `v`. The keywords spell out what a forger who knows the key could change."""
    kind = {"signed": SIGNED, "encrypted": ENCRYPTED}[v["type"]]
    body = meta_bytes(v, flags) + (v["json"] if isinstance(v["json"], bytes) else v["json"].encode("utf-8"))
    if cut is not None:
        body = body[:cut]
    _, kid, secret = derive(key_of(v["key"]), purpose or kind, v["app"], v["name_on_wire"])
    total = 8 + len(body) + (32 if kind == SIGNED else 24 + 16)
    total = total if length is None else length(total)
    head = struct.pack(">B4sI", kind if type_byte is None else type_byte, kid, total)
    head = head[:5] + head[6:]  # four bytes of length become three
    if kind == SIGNED:
        return head + body + hmac_sha256(secret, head + body)
    salt = bytes.fromhex(v["salt"])
    return head + salt + gcm(hmac_sha256(secret, salt), body, head + salt)


def parts(name, text):
    """The cookies that bear `text`, in order."""
    found = []
    while text:
        part = name if not found else f"{name}.{len(found)}"
        found.append({"name": part, "value": text[:4096 - len(part)]})
        text = text[4096 - len(part):]
    return found


# --- material -----------------------------------------------------------------------------------------------------

def block(label, length):
    """Bytes that look random and are the same every time."""
    return b"".join(hashlib.sha256(f"{label}/{i}".encode()).digest() for i in range(-(-length // 32)))[:length]


COUNTING = bytes(range(32))
K48, K64, K100, K32 = (block(f"key {length}", length) for length in (48, 64, 100, 32))
KEYS = {  # key text -> the bytes it means
    COUNTING.hex(): COUNTING,
    "hex:" + K48.hex().upper(): K48,
    "hex:" + K64.hex(): K64,
    "base64:" + to_base64(K32): K32,
    "base64:" + to_base64(K32, STANDARD) + "=": K32,
    to_base64(K100, STANDARD): K100,
    to_base64(K100) + "==": K100,
}
COUNT, HEX48, HEX64, URL32, PAD32, STD100, PAD100 = KEYS
# COUNT and HEX48 stand in docs/format.md, so a good reader of configuration refuses them. All the rest uses others.


def key_of(text):
    return KEYS[text]


DAY = 86_400
T0 = 1_767_225_600_000  # 2026-01-01 00:00:00 UTC


def vector(name, kind, json_text, *, key=URL32, app="", wire="__Host-session", created=T0, issued=None,
           authenticated=0, max_age=0, sid=None, salt=None):
    v = {"name": name, "type": kind, "key": key, "app": app, "name_on_wire": wire, "created": created,
         "issued": created if issued is None else issued, "authenticated": authenticated, "max_age": max_age,
         "sid": sid or block("sid " + name, 16).hex(), "json": json_text}
    if kind == "encrypted":
        v["salt"] = salt or block("salt " + name, 24).hex()
    return v


def finished(v):
    """The vector with its cookie, and with the values on the way to it."""
    kind = SIGNED if v["type"] == "signed" else ENCRYPTED
    prk, kid, secret = derive(key_of(v["key"]), kind, v["app"], v["name_on_wire"])
    steps = {"key": key_of(v["key"]).hex(), "prk": prk.hex(), "kid": kid.hex()}
    steps["kmac" if kind == SIGNED else "kenc"] = secret.hex()
    if kind == ENCRYPTED:
        steps["ki"] = hmac_sha256(secret, bytes.fromhex(v["salt"])).hex()
    v = dict(v, cookie=to_base64(frame(v)), steps=steps)
    if len(v["name_on_wire"]) + len(v["cookie"]) > 4096:
        v["parts"] = parts(v["name_on_wire"], v["cookie"])
    return v


SMALL = '{"user":42,"cart":["apple","pear"],"admin":false}'
UNICODE = '{"name":"Zoë Ångström","城市":"東京","emoji":"👩‍🚀","escaped":"\\u00e9\\ud83d\\ude80\\/\\n","empty":""}'
NUMBERS = ('{"big":123456789012345678901234567890123456789012345678901234567890,"u64":18446744073709551615,'
           '"i64":-9223372036854775808,"past_i64":-9223372036854775809,"float":0.1,"third":0.3333333333333333,'
           '"exact":1.10,"exponent":1E+2,"huge":1e400,"tiny":5e-324,"minus_zero":-0.0,"zero":-0}')
SPACED = ' { "a" : 1 ,\t"b" : [ ] ,\r\n "c" : { } , "" : null } '
BIG = json.dumps({"items": [{"id": i, "note": hashlib.sha256(b"%d" % i).hexdigest()} for i in range(58)]},
                 separators=(",", ":"))
FULL = '{"k":"%s"}'  # filled so that a cookie ends exactly at a limit


def filled(length):
    return FULL % ("x" * (length - len(FULL) + 2))


def accepted():
    found = []
    for kind in ("signed", "encrypted"):
        def add(name, *args, **kw):
            found.append(finished(vector(f"{kind}: {name}", kind, *args, **kw)))

        fixed = {"sid": "000102030405060708090a0b0c0d0e0f", "key": COUNT}
        if kind == "encrypted":
            fixed["salt"] = bytes(range(0x20, 0x38)).hex()
        add("empty object", "{}", **fixed)
        add("everything set", '{"user":42}', app="shop", created=T0, issued=T0 + 3_600_123,
            authenticated=T0 + 60_007, max_age=DAY, key=HEX48)
        add("small", SMALL)
        add("unicode", UNICODE, wire="__Secure-session")
        add("numbers beyond 64 bits and floats", NUMBERS)
        add("white space is kept", SPACED)
        add("nested a hundred deep", '{"a":' * 50 + "[" * 50 + "]" * 50 + "}" * 50)
        add("name without prefix", SMALL, wire="session")
        add("short name, unusual token characters", SMALL, wire="!#$%&'*+-.^_`|~9")
        add("app set", SMALL, app="shop", key=HEX64)
        add("app with a slash and spaces", SMALL, app=" shop / eu-1 ", key=PAD32)
        add("unicode app", SMALL, app="café ☕ 東京", wire="__Secure-sid", key=STD100)
        add("long app", SMALL, app="a" * 300, wire="sid", key=PAD100)
        add("own max_age of one second", SMALL, max_age=1)
        add("own max_age, the largest", SMALL, max_age=2**32 - 1)
        add("authenticated", SMALL, issued=T0 + 10_000, authenticated=T0 + 9_999)
        add("times at their ends", SMALL, created=0, issued=2**48 - 1, authenticated=2**48 - 1, sid="ff" * 16)
        add("sid of zeros", SMALL, sid="00" * 16)
        extra = 79 if kind == "signed" else 87
        add("fills one cookie", filled((4096 - 14) * 3 // 4 - extra))
        add("one byte more than one cookie", filled((4096 - 14) * 3 // 4 - extra + 1))
        add("big, 5 KB", BIG, app="shop", wire="__Host-cart")
        add("fills four cookies", filled((4 * 4096 - 4 * 7 - 3 * 2) * 3 // 4 - extra), wire="session")
    return found


def rejected():
    """Cookies that are refused, by a reader that is set up for `codec`, with the reason."""
    found = []
    other = {"signed": "encrypted", "encrypted": "signed"}

    def add(name, codec, cookie, reason, *, keys=(URL32,), wire="__Host-session", app=""):
        found.append({"name": f"{codec}: {name}", "codec": codec, "keys": list(keys), "name_on_wire": wire, "app": app,
                      "cookie": cookie, "reason": reason})

    for kind in ("signed", "encrypted"):
        v = vector("rejected, " + kind, kind, SMALL, sid="fb" * 16, salt="ff" * 24)
        good = frame(v)
        text = to_base64(good)

        def flip(at, bit=1):
            return to_base64(bytes(b ^ bit if i == at % len(good) else b for i, b in enumerate(good)))

        # text
        add("empty", kind, "", "malformed")
        add("not base64", kind, "hello, world", "malformed")
        add("white space before", kind, " " + text, "malformed")
        add("line feed after", kind, text + "\n", "malformed")
        add("white space inside", kind, text[:40] + " " + text[40:], "malformed")
        add("in quotes", kind, f'"{text}"', "malformed")
        add("a letter that is not ASCII", kind, "é" + text[1:], "malformed")
        add("a part of it percent-encoded", kind, "%" + format(ord(text[0]), "02X") + text[1:], "malformed")
        for surplus in (0, 1, 2):
            sized = dict(v, json=v["json"] + " " * ((surplus - len(good)) % 3))
            data = frame(sized)
            assert len(data) % 3 == surplus
            whole = to_base64(data)
            add(f"padding after {len(data)} bytes", kind, whole + "=" * (-len(whole) % 4 or 4), "malformed")
            if surplus:
                spare = {1: 4, 2: 2}[surplus]
                for bits in sorted({1, 1 << spare - 1, (1 << spare) - 1}):
                    add(f"unused bits {bits:0{spare}b} after {len(data)} bytes", kind, to_base64(data, unused=bits),
                        "malformed")
        standard = to_base64(good, STANDARD)
        assert "/" in standard
        add("standard alphabet", kind, standard, "malformed")
        add("one digit of the standard alphabet", kind, text.replace("_", "/", 1), "malformed")
        # length
        for size in (1, 2, 10, 11, 12, 43, 44, len(text) // 2, len(text) - 4, len(text) - 3, len(text) - 2,
                     len(text) - 1):
            cut = text[:size]
            add(f"truncated to {size} characters", kind, cut, "malformed")
        for size in (1, 5, 8, 32, 47, 78, len(good) - 1):
            add(f"truncated to {size} bytes, canonical", kind, to_base64(good[:size]), "malformed")
        add("a byte more", kind, to_base64(good + b"\0"), "malformed")
        add("twice", kind, to_base64(good + good), "malformed")
        for label, change in (("one more", lambda n: n + 1), ("one less", lambda n: n - 1), ("zero", lambda n: 0),
                              ("the largest", lambda n: 2**24 - 1), ("without the head", lambda n: n - 8),
                              ("of the JSON", lambda n: len(SMALL)), ("of the text", lambda n: len(text)),
                              ("little endian", lambda n: int.from_bytes(n.to_bytes(3, "little"), "big"))):
            add(f"length field: {label}, authentic", kind, to_base64(frame(v, length=change)), "malformed")
        short = frame(v, cut=38)  # one byte less than the metadata needs
        assert len(short) == {"signed": 78, "encrypted": 86}[kind]
        add("one byte short of the metadata, authentic", kind, to_base64(short), "malformed")
        for size in (8, 40, {"signed": 78, "encrypted": 86}[kind]):
            stub = to_base64(good[:5] + size.to_bytes(3, "big") + good[8:size])
            add(f"{size} bytes, and the head says so", kind, stub, "malformed")
            add(f"{size} bytes, and the head says so, unknown key", kind, stub, "malformed", keys=(HEX64,))
        # which key
        add("unknown key", kind, text, "unknown-key", keys=(HEX64,))
        add("unknown key, two in the ring", kind, text, "unknown-key", keys=(HEX64, STD100))
        add("key id changed", kind, flip(4), "unknown-key")
        add("unknown key before a wrong type", kind, to_base64(b"\x03" + good[1:]), "unknown-key", keys=(HEX64,))
        add("a wrong length before an unknown key", kind, to_base64(frame(v, length=lambda n: n + 1)), "malformed",
            keys=(HEX64,))
        # type
        swapped = {"signed": 2, "encrypted": 1}[kind]
        relabelled, authentic = to_base64(bytes([swapped]) + good[1:]), to_base64(frame(v, type_byte=swapped))
        for codec in (kind, other[kind]):
            add(f"type changed from {kind} to {other[kind]}", codec, relabelled, "bad-signature")
            add(f"type changed from {kind} to {other[kind]}, authentic under the old type's key", codec, authentic,
                "bad-signature")
        add(f"an intact {kind} cookie", other[kind], text, "bad-signature")
        for byte in (0, 3, 4, 255):
            add(f"type {byte}", kind, to_base64(bytes([byte]) + good[1:]), "bad-signature")
            add(f"type {byte}, authentic", kind, to_base64(frame(v, type_byte=byte)), "bad-signature")
        # what the key is bound to
        add("key derived for the other type", kind,
            to_base64(frame(v, purpose=ENCRYPTED if kind == "signed" else SIGNED)), "bad-signature")
        add("wrong app", kind, text, "bad-signature", app="shop")
        add("wrong name, prefix missing", kind, text, "bad-signature", wire="session")
        add("wrong name, other prefix", kind, text, "bad-signature", wire="__Secure-session")
        add("wrong name, case", kind, text, "bad-signature", wire="__host-session")
        add("name with the number of a part", kind, text, "bad-signature", wire="__Host-session.1")
        add("app and name joined differently", kind, to_base64(frame(dict(v, app="ab", name_on_wire="c"))),
            "bad-signature", app="a", wire="bc")
        add("app not normalised", kind, to_base64(frame(dict(v, app="caf\u00e9"))), "bad-signature", app="cafe\u0301")
        add("app with its case changed", kind, to_base64(frame(dict(v, app="shop"))), "bad-signature", app="Shop")
        add("app with a space after", kind, to_base64(frame(dict(v, app="shop"))), "bad-signature", app="shop ")
        # changed bytes
        where = {"flags": 8, "created": 14, "max_age": 27, "sid": 31, "JSON": 50, "MAC, first": -32, "MAC, last": -1}
        if kind == "encrypted":
            where = {"salt, first": 8, "salt, last": 31, "flags": 32, "sid": 55, "JSON": 75, "tag, first": -16,
                     "tag, last": -1}
        for label, at in where.items():
            add(f"a bit changed: {label}", kind, flip(at, 0x80 if at == -1 else 1), "bad-signature")
        add("MAC or tag of zeros", kind, to_base64(good[:-16] + bytes(16)), "bad-signature")
        # authentic, and yet not ours
        for flags in (1, 2, 128, 255):
            add(f"flags {flags}, authentic", kind, to_base64(frame(v, flags=flags)), "malformed")
        for label, data in {
            "nothing": b"", "an array": b"[]", "a string": b'"{}"', "a number": b"17", "null": b"null", "true": b"true",
            "cut": b'{"a":1', "two objects": b"{}{}", "text after": b"{} x", "a NUL after": b"{}\0",
            "a comma at the end": b'{"a":1,}', "NaN": b'{"a":NaN}', "Infinity": b'{"a":-Infinity}',
            "single quotes": b"{'a':1}", "key without quotes": b"{a:1}", "a comment": b"{}//",
            "leading zero": b'{"a":01}', "a dot without digits": b'{"a":1.}', "a plus": b'{"a":+1}',
            "a number for a key": b"{1:1}", "a line feed in a string": b'{"a":"\n"}',
            "an unknown escape": b'{"a":"\\x41"}',
            "a byte order mark": b"\xef\xbb\xbf{}", "a no-break space": b"\xc2\xa0{}",
            "UTF-16": "{}".encode("utf-16-le"),
            "invalid UTF-8 in a value": b'{"a":"\xff"}', "invalid UTF-8 in a key": b'{"\x80":1}',
            "UTF-8 cut": b'{"a":"\xe2\x82"}', "UTF-8 overlong": b'{"a":"\xc0\xaf"}',
            "UTF-8 of a surrogate": b'{"a":"\xed\xa0\x80"}', "UTF-8 beyond U+10FFFF": b'{"a":"\xf4\x90\x80\x80"}',
            "Latin-1": b'{"a":"caf\xe9"}', "invalid UTF-8 deep inside": b'{"a":{"b":[1,{"c":"\xff"}]}}',
            "broken deep inside": b'{"a":{"b":[1,{"c":tru}]}}',
        }.items():
            add(f"JSON: {label}, authentic", kind, to_base64(frame(dict(v, json=data))), "malformed")
    return found


def colliding():
    """Two keys of 32 bytes that have the same id, by a birthday search."""
    seen = {}
    for i in range(2**22):
        key = hashlib.sha256(b"colliding keys %d" % i).digest()
        kid = hkdf_expand(hmac_sha256(b"http-session/v1", key), lp("key-id"), 4)
        if kid in seen:
            return [seen[kid], key], kid
        seen[kid] = key
    raise SystemExit("no two keys collide")


def key_texts():
    """Key texts and the bytes they mean (null: refused)."""
    k33, k34, text = block("key 33", 33), block("key 34", 34), COUNTING.hex()
    plus = b"\xfb\xef\xbe" * 11 + b"\xff"  # its base64 has digits that differ between the alphabets
    found = dict(KEYS)
    found |= {"hex:" + text: COUNTING, text.upper(): COUNTING, "hex:" + k33.hex(): k33, to_base64(k33): k33,
              to_base64(k34): k34, to_base64(k34) + "==": k34, "base64:" + to_base64(plus): plus,
              "base64:" + to_base64(plus, STANDARD) + "==": plus, "base64:" + text: binascii.a2b_base64(text),
              f" {HEX64}\n": K64, "\t" + to_base64(k33) + "\r\n": k33}
    return [{"text": t, "bytes": b.hex()} for t, b in found.items()] + [{"text": t, "bytes": None} for t in (
        "", "hex:", "base64:", text[:62], "hex:" + text[:62], "hex:" + text[:63], "hex:" + text + "0",
        "hex:" + text[:62] + "zz", "HEX:" + text, "hex: " + text, "hex:" + text[:32] + " " + text[32:], "hex:0x" + text, "hex:" + to_base64(K32),
        to_base64(block("key 31", 31)), "base64:" + to_base64(block("key 31", 31)), "base64:" + to_base64(K32)[:-1],
        to_base64(K32)[:-1] + "*", to_base64(K32) + "==", to_base64(K32)[:20] + "=" + to_base64(K32)[20:],
        to_base64(K32, unused=1), "correct horse battery staple correct horse battery staple",
        to_base64(plus)[:-2].replace("-", "+", 1) + to_base64(plus)[-2:])]


def make():
    keys, kid = colliding()
    ring = [k.hex() for k in keys]
    KEYS.update(zip(ring, keys))
    pair = [finished(vector(f"colliding key {i}, {kind}", kind, SMALL, key=k)) for kind in ("signed", "encrypted")
            for i, k in enumerate(ring)]
    reject = rejected()
    for v, absent in zip(pair, (1, 0, 1, 0)):
        reject.append({"name": f"{v['type']}: only the other of two keys with one id, {absent}", "codec": v["type"],
                       "keys": [ring[absent]], "name_on_wire": v["name_on_wire"], "app": "", "cookie": v["cookie"],
                       "reason": "bad-signature"})
    return {"about": "Made by tests/python/make_vectors.py; explained in docs/format.md. Do not edit.",
            "accept": accepted(), "reject": reject, "key_texts": key_texts(),
            "colliding_keys": {"kid": kid.hex(), "keys": ring, "cookies": pair}}


def fields_of(v):
    """The frame of a vector, field by field, as docs/format.md shows it."""
    data = frame(v)
    meta = (("flags", 1), ("created", 6), ("issued", 6), ("authenticated", 6), ("max_age", 4), ("sid", 16))
    layout = [("type", 1), ("kid", 4), ("length", 3)]
    if v["type"] == "signed":
        layout += [*meta, ("JSON", len(data) - 79), ("MAC", 32)]
    else:
        layout += [("salt", 24), ("ciphertext", len(data) - 48), ("tag", 16)]
    found = []
    for field, size in layout:
        found.append((field, data[:size].hex()))
        data = data[size:]
    if v["type"] == "encrypted":
        found.append(("plaintext", (meta_bytes(v) + v["json"].encode("utf-8")).hex()))
    return found


# --- the reader must agree ----------------------------------------------------------------------------------------

def verify(made):
    def outcome(*args, **kw):
        try:
            return reader.read(*args, **kw)
        except reader.Reject as reason:
            return str(reason)

    fields = ("type", "created", "issued", "authenticated", "max_age", "sid", "json")
    rings = made["colliding_keys"]["keys"]
    for v in made["accept"] + made["colliding_keys"]["cookies"]:
        for ring in ([v["key"]], [COUNT, HEX48, STD100, v["key"]], rings + [v["key"]], rings[::-1] + [v["key"]]):
            for codec in (None, v["type"]):
                got = outcome(ring, v["name_on_wire"], v["cookie"], v["app"], codec)
                assert got == {f: v[f] for f in fields}, (v["name"], got)
        joined = "".join(part["value"] for part in v.get("parts", [])) or v["cookie"]
        sizes = [len(part["name"]) + len(part["value"]) for part in v.get("parts", [])]
        assert joined == v["cookie"] and all(s == 4096 for s in sizes[:-1]) and len(sizes) <= 4, v["name"]
    for r in made["reject"]:
        got = outcome(r["keys"], r["name_on_wire"], r["cookie"], r["app"], r["codec"])
        assert got == r["reason"], (r["name"], r["reason"], got)
        if "intact" not in r["name"]:  # the cookie's own type byte does not make it acceptable
            assert isinstance(outcome(r["keys"], r["name_on_wire"], r["cookie"], r["app"]), str), r["name"]
    for k in made["key_texts"]:
        try:
            got = reader.key_bytes(k["text"]).hex()
        except ValueError:
            got = None
        assert got == k["bytes"], (k["text"], got)
    for part in ("accept", "reject"):
        names = [v["name"] for v in made[part]]
        assert len(names) == len(set(names)), [n for n in names if names.count(n) > 1]
    page = FORMAT.read_text(encoding="utf-8")
    for v in made["accept"]:
        if f"`{v['name']}`" in page:
            for value in [v["cookie"], *v["steps"].values(), *(f[1] for f in fields_of(v))]:
                assert value in page, f"docs/format.md: {v['name']}: {value}"


def main():
    made = make()
    text = json.dumps(made, ensure_ascii=False, indent=1) + "\n"
    if "--check" not in sys.argv[1:]:
        VECTORS.parent.mkdir(parents=True, exist_ok=True)
        VECTORS.write_text(text, encoding="utf-8", newline="\n")
    elif VECTORS.read_text(encoding="utf-8") != text:
        raise SystemExit(f"{VECTORS} is not what this program makes")
    verify(made)
    print(f"{VECTORS.name}: {len(made['accept'])} accepted, {len(made['reject'])} rejected, "
          f"{len(made['key_texts'])} key texts, {len(made['colliding_keys']['cookies'])} with colliding keys")


if __name__ == "__main__":
    main()
