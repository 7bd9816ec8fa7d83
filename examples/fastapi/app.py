"""A FastAPI application whose sessions main.rs shares. `./run` starts both."""

import os
from html import escape
from pathlib import Path

from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.middleware.sessions import SessionMiddleware

HERE = Path(__file__).parent
PAGE, LOGIN, LOGOUT = ((HERE / f"{name}.html").read_text() for name in ("page", "login", "logout"))

app = FastAPI()
app.add_middleware(SessionMiddleware, secret_key=os.environ["SESSION_SECRET"])


@app.get("/", response_class=HTMLResponse)
def page(request: Request):
    user = request.session.get("user")
    cart = request.session.get("cart", [])
    return PAGE.format(
        server="Python, with FastAPI",
        other_port=os.environ["RUST_PORT"],
        account=LOGOUT.format(user=escape(user)) if user else LOGIN,
        cart="".join(f"<li>{escape(item)}</li>" for item in cart),
    )


@app.post("/login")
def login(request: Request, user: str = Form()):
    # A real application asks for a password.
    request.session["user"] = user
    return RedirectResponse("/", status_code=303)


@app.post("/logout")
def logout(request: Request):
    request.session.clear()
    return RedirectResponse("/", status_code=303)


@app.post("/cart")
def add(request: Request, item: str = Form()):
    # A new list: Starlette does not notice a change inside of the old one.
    request.session["cart"] = [*request.session.get("cart", []), item]
    return RedirectResponse("/", status_code=303)


@app.post("/cart/clear")
def empty(request: Request):
    request.session.pop("cart", None)
    return RedirectResponse("/", status_code=303)
