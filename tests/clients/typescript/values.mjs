// values.mjs work GROUP: functions of values and errors.
// values.mjs call GROUP JSON, values.mjs flow GROUP JSON: make calls that JSON lists as [name, args],
// the one directly, the other each from a workflow.
import { play, serve } from "./common.mjs";

const [mode, group, calls] = process.argv.slice(2);

async function echo(_, value) {
  return value;
}

async function total(_, order) {
  return ["Order", order.item, order.prices.reduce((sum, price) => sum + price, 0)];
}

// A generator, because those are not retried.
function* refuse(_, text) {
  throw new Error(text);
}

function* flow(ctx, name, args) {
  return yield* ctx.rpc(name, ...args, ctx.options({ target: group }));
}

async function outcome(call) {
  try {
    return { value: (await call) ?? null };
  } catch (error) {
    return { error: error.name, text: error.message };
  }
}

async function main(resonate) {
  resonate.register(flow);
  const there = resonate.options({ target: group });
  const found = [];
  for (const [number, [name, args]] of JSON.parse(calls).entries()) {
    const id = `${mode}-${number}`;
    const call =
      mode === "flow" ? resonate.run(id, flow, name, args) : resonate.rpc(id, name, ...args, there);
    found.push(await outcome(call));
  }
  return found;
}

if (mode === "work") await serve([echo, total, refuse], { group });
await play(main, { group: "caller" });
