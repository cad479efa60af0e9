// fibonacci.mjs call N and fibonacci.mjs worker: recursion in which every call is remote.
import { play, serve } from "./common.mjs";

const target = "fibonacci";

function* fibonacci(ctx, n) {
  if (n < 2) {
    console.log("leaf", ctx.id);
    return n;
  }
  const left = yield* ctx.beginRpc(fibonacci, n - 1, ctx.options({ target }));
  const right = yield* ctx.beginRpc(fibonacci, n - 2, ctx.options({ target }));
  return (yield* left) + (yield* right);
}

if (process.argv[2] === "worker") await serve([fibonacci], { group: target });
await play(
  async (resonate) =>
    await resonate.rpc("fibonacci-1", "fibonacci", Number(process.argv[3]), resonate.options({ target })),
  { group: "caller" },
);
