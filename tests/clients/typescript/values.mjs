// values.mjs work GROUP: functions of values and errors.
// values.mjs call GROUP JSON, values.mjs flow GROUP JSON: make calls that JSON lists as [name, args],
// the one directly, the other each from a workflow. A fourth item is how many seconds the call has.
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

async function linger() {
  await new Promise((resolve) => setTimeout(resolve, 60_000));
}

function options(seconds) {
  return seconds ? { target: group, timeout: seconds * 1000 } : { target: group };
}

function* flow(ctx, name, args, seconds) {
  return yield* ctx.rpc(name, ...args, ctx.options(options(seconds)));
}

async function outcome(call) {
  try {
    return { value: (await call) ?? null };
  } catch (error) {
    return { error: error?.name ?? null, text: error?.message ?? null }; // it can be undefined
  }
}

async function main(resonate) {
  resonate.register(flow);
  const found = [];
  for (const [number, [name, args, , seconds = null]] of JSON.parse(calls).entries()) {
    const id = `${mode}-${number}`;
    const there = resonate.options(options(seconds));
    const call =
      mode === "flow"
        ? resonate.run(id, flow, name, args, seconds)
        : resonate.rpc(id, name, ...args, there);
    found.push(await outcome(call));
  }
  return found;
}

if (mode === "work") await serve([echo, total, refuse, linger], { group });
await play(main, { group: "caller" });
