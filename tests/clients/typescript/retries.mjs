// A function that fails twice: run, called remotely, as a step, and without retries.
import { Constant, Never } from "@resonatehq/sdk";
import { play } from "./common.mjs";

const patience = new Constant({ delay: 1, maxRetries: 5 });
const attempts = {};

async function flaky(_, key) {
  attempts[key] = (attempts[key] ?? 0) + 1;
  if (attempts[key] < 3) throw new Error(`attempt ${attempts[key]}`);
  return `${key}: ${attempts[key]}`;
}

function* order(ctx, key, patient) {
  const retryPolicy = patient ? patience : new Never();
  try {
    return yield* ctx.run(flaky, key, ctx.options({ retryPolicy }));
  } catch (error) {
    return `${key}: ${error.message}`;
  }
}

await play(async (resonate) => {
  resonate.register(flaky);
  resonate.register(order);
  const patient = resonate.options({ retryPolicy: patience });
  return [
    await resonate.run("flaky-1", flaky, "run", patient),
    await resonate.rpc("flaky-2", "flaky", "rpc", patient),
    await resonate.run("order-1", order, "step", true),
    await resonate.run("order-2", order, "never", false),
  ];
});
