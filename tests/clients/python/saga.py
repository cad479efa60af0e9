"""``saga.py GOOD|BAD``: three bookings; what was booked is undone when the card is refused."""

from __future__ import annotations

import sys

from common import play


async def trip(ctx, card):
    undo = []
    try:
        undo.append(("cancel_flight", await ctx.run(book, "flight")))
        undo.append(("cancel_hotel", await ctx.run(book, "hotel")))
        await ctx.run(charge, card)
    except Exception as error:  # noqa: BLE001  # whatever it is, nothing may stay booked
        undone = [await ctx.rpc(name, reference) for name, reference in reversed(undo)]
        return {"failed": str(error), "undone": undone}
    return {"booked": [reference for _, reference in undo]}


async def book(_, what):
    return f"{what}-1"


async def charge(_, card):
    if card == "BAD":
        raise ValueError("card refused")


async def cancel_flight(_, reference):
    return f"no {reference}"


async def cancel_hotel(_, reference):
    return f"no {reference}"


async def main(resonate):
    for function in (trip, cancel_flight, cancel_hotel):
        resonate.register(function)
    return await resonate.run("trip-1", trip, sys.argv[1]).result()


play(main)
