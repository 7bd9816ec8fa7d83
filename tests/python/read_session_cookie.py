#!/usr/bin/env python3
"""Read a cookie of http-session's native format (docs/format.md). Times are returned, not judged. As a program, one
JSON object per line in: {"key": "text" or [..], "name": "..", "app": "", "codec": "signed", "cookie": ".."}, one out:
the result of `read` or {"reject": "malformed"}. `codec` may be left out: the cookie's type byte then decides."""
import base64, contextlib, hashlib, hmac, json, re, sys
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
TYPES, SHORTEST = {1: "signed", 2: "encrypted"}, {"signed": 79, "encrypted": 87}
mac = lambda key, message: hmac.new(key, message, hashlib.sha256).digest()
lp = lambda text: len(text.encode()).to_bytes(2, "big") + text.encode()
expand = lambda prk, info: mac(prk, info + b"\x01")  # HKDF-Expand of up to 32 bytes is its first block
class Reject(Exception): """The cookie is not accepted; the message is the reason."""
def require(condition, error):
    if not condition:
        raise error
def base64url(text):
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(base64.urlsafe_b64encode(raw).rstrip(b"=") == text.encode(), ValueError("not canonical base64url"))
    return raw
def key_bytes(text):
    if re.fullmatch("hex:([0-9A-Fa-f]{2})*|[0-9A-Fa-f]{64}", text := text.strip()):
        raw = bytes.fromhex(text.removeprefix("hex:"))
    else:
        parts = re.fullmatch("(?:base64:)?([A-Za-z0-9_-]*|[A-Za-z0-9+/]*)(=*)", text)
        require(parts and len(parts[2]) in (0, -len(parts[1]) % 4), ValueError("not a key text"))
        raw = base64url(parts[1].translate({43: 45, 47: 95}))
    require(len(raw) >= 32, ValueError("a key has at least 32 bytes"))
    return raw
def unseal(ring, name, app, codec, frame):
    kind = TYPES.get(frame[0])
    length, least = int.from_bytes(frame[5:8], "big"), SHORTEST.get(codec or kind, 79)
    require(length == len(frame) >= least, ValueError("too short, or not the length in the head"))
    ring = [prk for prk in ring if expand(prk, lp("key-id"))[:4] == frame[1:5]]
    require(ring, Reject("unknown-key"))
    require(kind and codec in (None, kind), Reject("bad-signature"))
    for secret in (expand(prk, lp(kind) + lp(app) + lp(name)) for prk in ring):  # several only if their ids collide
        with contextlib.suppress(InvalidTag):
            if kind == "encrypted":
                return kind, AESGCM(mac(secret, frame[8:32])).decrypt(bytes(12), frame[32:], frame[:32])
            if hmac.compare_digest(mac(secret, frame[:-32]), frame[-32:]):
                return kind, frame[8:-32]
    raise Reject("bad-signature")
def read(keys, name, cookie, app="", codec=None):
    ring = [mac(b"http-session/v1", key_bytes(key)) for key in ([keys] if isinstance(keys, str) else keys)]
    try:
        kind, data = unseal(ring, name, app, codec, base64url(cookie))
        text, number = data[39:].decode(), lambda start, end: int.from_bytes(data[start:end], "big")
        require(data[0] == 0, ValueError("flags"))
        require(isinstance(json.loads(text, parse_int=str, parse_constant=int), dict), ValueError("not an object"))
    except (ValueError, IndexError, RecursionError):
        raise Reject("malformed") from None
    return {"type": kind, "created": number(1, 7), "issued": number(7, 13), "authenticated": number(13, 19),
            "max_age": number(19, 23), "sid": data[23:39].hex(), "json": text}
if __name__ == "__main__":
    for ask in map(json.loads, sys.stdin.buffer):
        try:
            answer = read(ask["key"], ask["name"], ask["cookie"], ask.get("app") or "", ask.get("codec"))
        except Reject as reason:
            answer = {"reject": str(reason)}
        print(json.dumps(answer), flush=True)
