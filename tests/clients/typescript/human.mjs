// human.mjs ask: a workflow that waits for two answers; human.mjs answer ID YES|NO.
import { Codec } from "@resonatehq/sdk";
import { play } from "./common.mjs";

function* order(ctx) {
  const first = yield* ctx.promise();
  console.log("asks", first.id);
  const answer = yield* first;
  const second = yield* ctx.promise();
  console.log("then asks", second.id);
  try {
    return [answer, yield* second];
  } catch (error) {
    return [answer, `refused: ${error.message}`];
  }
}

async function ask(resonate) {
  resonate.register(order);
  return await resonate.run("order-1", order);
}

async function answer(resonate) {
  const [id, text] = process.argv.slice(3);
  const codec = new Codec();
  const settled =
    text === "NO"
      ? await resonate.promises.reject(id, codec.encode(new Error("too dear")))
      : await resonate.promises.resolve(id, codec.encode({ said: text }));
  return settled.state;
}

await play({ ask, answer }[process.argv[2]]);
