// recovery.mjs worker GROUP LOG [DEATH] and recovery.mjs call GROUP..., one order for each.
//
// A step writes its name into LOG each time it is executed. Who comes to the point DEATH kills itself
// there, as kill -9 does. The lease is short, since others wait for its end.
import { appendFileSync } from "node:fs";
import { play, serve } from "./common.mjs";

const [role, ...rest] = process.argv.slice(2);
const [target, log, ...deaths] = rest;

function point(name) {
  if (deaths.includes(name)) process.kill(process.pid, "SIGKILL");
}

function count(step) {
  appendFileSync(log, `${step}\n`);
  point(`in ${step}`);
  return step;
}

function* order(ctx) {
  point("in order");
  const done = [yield* ctx.run(reserve)];
  point("after reserve");
  done.push(yield* ctx.run(pack));
  point("after pack");
  done.push(yield* ctx.rpc("ship", ctx.options({ target })));
  point("after ship");
  yield* ctx.sleep(100);
  point("after sleep");
  done.push(yield* ctx.run(notify));
  point("after notify");
  return done;
}

async function reserve(_) {
  return count("reserve");
}

function* pack(ctx) {
  const box = yield* ctx.run(fill);
  point("after fill");
  return `packed ${box}`;
}

async function fill(_) {
  return count("fill");
}

function* ship(ctx) {
  return yield* ctx.run(load);
}

async function load(_) {
  return count("load");
}

async function notify(_) {
  return count("notify");
}

if (role === "worker") await serve([order, ship], { group: target, ttl: 5000 });
await play(
  async (resonate) => {
    const order = (group) => resonate.rpc(`order-${group}`, "order", resonate.options({ target: group }));
    return await Promise.all(rest.map(order));
  },
  { group: "caller" },
);
