// A workflow that begins something and ends without waiting for it.
import { play } from "./common.mjs";

const ended = Promise.withResolvers();

function* order(ctx) {
  const begun = yield* ctx.detached("audit", "order");
  return begun.id;
}

async function audit(_, what) {
  await ended.promise;
  return `audited ${what}`;
}

await play(async (resonate) => {
  resonate.register(order);
  resonate.register(audit);
  const id = await resonate.run("order-1", order);
  const handle = await resonate.get(id);
  const before = await handle.done();
  ended.resolve();
  return [id, before, await handle.result()];
});
