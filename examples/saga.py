"""A saga: move money between two banks, and take back what was done when a later step fails.

    python examples/saga.py                     succeeds
    python examples/saga.py transfer-2 closed   the second bank refuses, the first is paid back

The banks are two tables of one SQLite file. Every movement has the id of its step as its key, so a
step that a crash made run twice moves the money once.
"""

from __future__ import annotations

import sqlite3
import sys

from resonate import Context, Resonate
from resonate.errors import register_exception
from resonate.retry_policies import Exponential

resonate = Resonate(group="transfers")
ALWAYS = Exponential(delay=0.1)  # until it succeeds, or the deadline has passed


@register_exception  # so that it arrives as itself, after a crash, too
class Closed(Exception):
    """The account takes no money."""


def move(ctx: Context, account: str, cents: int) -> None:
    if account == "closed":
        raise Closed(f"{account} takes no money")
    with sqlite3.connect(ctx.get_dependency("bank")) as bank:
        bank.execute("INSERT OR IGNORE INTO movements VALUES (?, ?, ?)", (ctx.id, account, cents))
    bank.close()


@resonate.register
def transfer(ctx: Context, source: str, target: str, cents: int):
    undo = []
    try:
        yield ctx.run(move, source, -cents)
        undo.append((source, cents))
        yield ctx.run(move, target, cents)
    except Closed as error:
        for account, amount in reversed(undo):
            yield ctx.run(move, account, amount).options(retry_policy=ALWAYS)
        return f"taken back: {error}"
    return "done"


def main(id="transfer-1", target="bob", file="bank.db"):
    bank = sqlite3.connect(file)
    bank.execute("CREATE TABLE IF NOT EXISTS movements (id PRIMARY KEY, account, cents)")
    resonate.set_dependency("bank", file)
    print(transfer.run(id, "alice", target, 500))
    for row in bank.execute("SELECT account, sum(cents) FROM movements GROUP BY account"):
        print(*row)
    bank.close()
    resonate.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
