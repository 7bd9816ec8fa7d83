#!/usr/bin/env python3
"""An application behind the real Starlette SessionMiddleware, one request a line (fields as in verify_starlette.py).

Without "run" it says what the middleware makes of the cookie, as verify_starlette.py does. With "ours", the JSON text of
what another reader made of it, it says whether that is the "same" as what json.dumps makes of the real session.

With "run", Python source that may use `session` and what is in "with", it answers
  {"result": ..., "raised": "KeyError", "session_text": "...", "set_cookie": ["..."], "vary": "Cookie"}
`result` is the value of an expression, None after a statement.
"""
import json

import verify_starlette
from oracle_common import main


def ask(case):
    if "arguments" in case:  # as Python source, instead of "params"
        params = eval(f"dict({case['arguments']})")
        case = {**case, "secret": params.pop("secret_key", case["secret"]), "params": params}
        if "session_cookie" in params:
            params["cookie_name"] = params.pop("session_cookie")
    return execute(case) if "run" in case else compare(case)


def compare(case):
    answer = verify_starlette.judge(case)
    if "ours" in case and "session_text" in answer:
        answer["same"] = json.dumps(json.loads(case["ours"])) == answer["session_text"]
    return answer


def execute(case):
    answer = {}

    def endpoint(session):
        names = {**case.get("with", {}), "session": session}
        try:
            try:
                code = compile(case["run"], "run", "eval")
            except SyntaxError:
                code = compile(case["run"], "run", "exec")
            answer["result"] = eval(code, names)
        except Exception as exc:
            answer["raised"] = type(exc).__name__
        answer["session_text"] = json.dumps(dict(session))

    headers = verify_starlette.run(case, endpoint)
    named = lambda wanted: [value for name, value in headers if name.lower() == wanted]
    return {**answer, "set_cookie": named("set-cookie"), "vary": ", ".join(named("vary"))}


if __name__ == "__main__":
    main(ask)
