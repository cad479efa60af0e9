// saga.mjs GOOD|BAD: three bookings; what was booked is undone when the card is refused.
import { play } from "./common.mjs";

function* trip(ctx, card) {
  const undo = [];
  try {
    undo.push(["cancelFlight", yield* ctx.run(book, "flight")]);
    undo.push(["cancelHotel", yield* ctx.run(book, "hotel")]);
    yield* ctx.run(charge, card);
  } catch (error) {
    const undone = [];
    for (const [name, reference] of undo.reverse()) undone.push(yield* ctx.rpc(name, reference));
    return { failed: error.message, undone };
  }
  return { booked: undo.map(([_, reference]) => reference) };
}

async function book(_, what) {
  return `${what}-1`;
}

function* charge(_, card) {
  if (card === "BAD") throw new Error("card refused");
}

async function cancelFlight(_, reference) {
  return `no ${reference}`;
}

async function cancelHotel(_, reference) {
  return `no ${reference}`;
}

await play(async (resonate) => {
  for (const each of [trip, cancelFlight, cancelHotel]) resonate.register(each);
  return await resonate.run("trip-1", trip, process.argv[2]);
});
