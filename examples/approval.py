"""Human approval: a function waits, for days if need be, until somebody clicks on a web page.

    resonate serve                                  in another terminal
    export RESONATE_URL=http://127.0.0.1:8001
    python examples/approval.py            the page is http://127.0.0.1:8080
    python examples/approval.py order 120  asks for an approval, and waits for it

The first may be killed and started again at any time, and so may the second: nothing is lost.
Without RESONATE_URL, `approval.py demo` does both in one process.
"""

from __future__ import annotations

import html
import json
import sys
import threading
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from resonate import Context, Resonate

resonate = Resonate(group="orders")
APPROVAL = {"kind": "approval"}  # a tag, to find what waits for somebody
DAY = 86_400


@resonate.register
def order(ctx: Context, amount: int):
    if amount > 100:
        question = f"May we spend {amount}?"
        answer = yield ctx.promise(data=question, tags=APPROVAL, timeout=7 * DAY)
        if not (yield answer):
            return f"order of {amount} refused"
    yield ctx.run(ship, amount)
    return f"order of {amount} shipped"


def ship(_: Context, amount: int) -> None:
    print(f"shipping for {amount}", flush=True)


class ApprovalPage(BaseHTTPRequestHandler):
    """Lists what waits for an answer; a click settles it."""

    def do_GET(self):
        rows = []
        for promise in resonate.promises.search_all(state="pending", tags=APPROVAL):
            id, question = html.escape(promise.id), html.escape(json.loads(promise.param.data))
            rows.append(
                f"<form method=post><p>{question} <input type=hidden name=id value='{id}'>"
                "<button name=answer value=true>Yes</button>"
                "<button name=answer value=false>No</button></form>"
            )
        self.answer(200, "<!doctype html><title>Approvals</title>" + "".join(rows or ["Nothing."]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = dict(urllib.parse.parse_qsl(body))
        if resonate.promises.get(form["id"]).tags.get("kind") != "approval":
            self.answer(403, "That is no approval.")
            return
        # The first answer counts; a second click changes nothing.
        resonate.promises.resolve(form["id"], data=json.dumps(form["answer"] == "true"))
        self.send_response(303)
        self.send_header("Location", "/")
        self.end_headers()

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


def serve(port):
    page = ThreadingHTTPServer(("127.0.0.1", port), ApprovalPage)
    threading.Thread(target=page.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{page.server_port}", flush=True)
    return page


def main(what="page", amount="120", port="8080"):
    if what == "order":
        anyone = resonate.options(target="orders")
        print(anyone.rpc(f"order-{uuid.uuid4()}", "order", int(amount)))
        resonate.stop()
        return
    page = serve(int(port))
    if what == "demo":
        print(order.run(f"order-{uuid.uuid4()}", int(amount)))
        resonate.stop()
    else:
        resonate.run_until_signal()
    page.shutdown()
    page.server_close()


if __name__ == "__main__":
    main(*sys.argv[1:])
