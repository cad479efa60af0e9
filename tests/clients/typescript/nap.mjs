// nap.mjs worker and nap.mjs call: a workflow that sleeps for two seconds.
import { play, serve } from "./common.mjs";

function* nap(ctx) {
  yield* ctx.sleep(2000);
  return "slept";
}

if (process.argv[2] === "worker") await serve([nap], { group: "sleepers" });
await play(
  async (resonate) => await resonate.rpc("nap-1", "nap", resonate.options({ target: "sleepers" })),
  { group: "caller" },
);
