// Two versions of one name: run by object, by name, and called remotely.
import { play } from "./common.mjs";

async function charge(_, amount) {
  return amount;
}

async function chargeWithFee(_, amount) {
  return amount + 3;
}

await play(async (resonate) => {
  resonate.register("charge", charge, { version: 1 });
  resonate.register("charge", chargeWithFee, { version: 2 });
  const [older, newer] = [1, 2].map((version) => resonate.options({ version }));
  return [
    await resonate.run("run-1", charge, 100, older),
    await resonate.run("run-2", chargeWithFee, 100, newer),
    await resonate.rpc("rpc-1", "charge", 100, older),
    await resonate.rpc("rpc-2", "charge", 100, newer),
  ];
});
