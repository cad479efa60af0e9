// groups.mjs front|back: nested steps in two groups that call each other.
import { play, serve } from "./common.mjs";

function* order(ctx, item) {
  const label = yield* ctx.run(describe, item);
  return yield* ctx.rpc("produce", label, ctx.options({ target: "back" }));
}

function* describe(ctx, item) {
  return `one ${yield* ctx.run(shout, item)}`;
}

async function shout(_, item) {
  return item.toUpperCase();
}

function* sign(ctx, text) {
  return yield* ctx.run(write, `${text}, signed`);
}

function* produce(ctx, label) {
  const made = yield* ctx.run(make, label);
  return yield* ctx.rpc("sign", made, ctx.options({ target: "front" }));
}

function* make(ctx, label) {
  return yield* ctx.run(write, `made ${label}`);
}

async function write(_, text) {
  return text;
}

if (process.argv[2] === "back") await serve([produce], { group: "back" });
await play(
  async (resonate) => {
    resonate.register(order);
    resonate.register(sign);
    return await resonate.run("order-1", order, "chair");
  },
  { group: "front" },
);
