#!/usr/bin/env python3
"""What the same requests as in starlette.rs cost with the real Starlette, driven in process as raw ASGI: no server, no
sockets, one event loop. Needs a Python with Starlette (tests/python/requirements.txt).

    target/venv/bin/python benches/starlette_asgi.py

Prints microseconds per request, the best of many rounds. `bare` is the application without the middleware.
"""
import asyncio
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection

HERE = Path(__file__).parent
SECRET = "vQ2mT7pL4wR8sZ1aB5dkX9vQ2mT7pL4w"
ROUNDS, REQUESTS = 60, 500

HEADERS = [
    (b"host", b"example.com"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br, zstd"),
    (b"connection", b"keep-alive"),
    (b"sec-fetch-mode", b"navigate"),
    (b"priority", b"u=0, i"),
]


def untouched(scope):
    pass


def read(scope):
    session = HTTPConnection(scope).session
    assert session["user"] and session["visits"]


def write(scope):
    session = HTTPConnection(scope).session
    session["visits"] = session.get("visits", 0) + 1


def reject(scope):
    assert HTTPConnection(scope).session.get("visits") is None


def application(handler):
    async def app(scope, receive, send):
        handler(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app


def scope_with(cookie):
    other = lambda name: f"{name}=4f1c2e9a7b3d8056af91c4e2d7b8a0"
    cookies = f"{other('_ga')}; {other('_gid')}; {cookie}; {other('consent')}"
    headers = [*HEADERS, (b"cookie", cookies.encode())]
    return lambda: {"type": "http", "method": "GET", "path": "/", "headers": list(headers)}


async def receive():
    return {"type": "http.request", "body": b""}


async def cookie_of(data):
    lines = []

    async def send(message):
        lines.extend(value for name, value in message.get("headers", []) if name == b"set-cookie")

    fill = application(lambda scope: HTTPConnection(scope).session.update(data))
    await SessionMiddleware(fill, secret_key=SECRET)({"type": "http", "headers": []}, receive, send)
    return lines[0].decode().split(";")[0]


async def measure(app, scope, writes):
    sent = 0

    async def send(message):
        nonlocal sent
        sent += any(name == b"set-cookie" for name, _ in message.get("headers", ()))

    best = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(REQUESTS):
            await app(scope(), receive, send)
        best = min(best, time.perf_counter() - start)
    assert sent == (ROUNDS * REQUESTS if writes else 0)
    return best / REQUESTS * 1e6


async def main():
    print(f"Starlette {version('starlette')}, itsdangerous {version('itsdangerous')}, Python {platform.python_version()}")
    for size in ("small", "large"):
        cookie = await cookie_of(json.loads((HERE / f"{size}.json").read_text()))
        digit = "B" if cookie[-5] == "A" else "A"
        forged = f"{cookie[:-5]}{digit}{cookie[-4:]}"
        cases = [
            ("bare", untouched, cookie, False),
            ("untouched", untouched, cookie, False),
            ("read", read, cookie, False),
            ("write", write, cookie, True),
            ("forged", reject, forged, False),
        ]
        for name, handler, pair, writes in cases:
            app = application(handler)
            if name != "bare":
                app = SessionMiddleware(app, secret_key=SECRET)
            print(f"{size:6} {name:10} {await measure(app, scope_with(pair), writes):8.2f} µs")


asyncio.run(main())
