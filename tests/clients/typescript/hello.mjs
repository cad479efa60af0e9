// A workflow with a local and a remote step, all in one process.
import { play } from "./common.mjs";

function* hello(ctx, name) {
  const greeting = yield* ctx.run(greet);
  return yield* ctx.rpc("join", greeting, name);
}

async function greet(_) {
  return "hello";
}

async function join(_, ...words) {
  return `${words.join(", ")}!`;
}

await play(async (resonate) => {
  resonate.register(hello);
  resonate.register(join);
  const first = await resonate.run("hello-1", hello, "world");
  const again = await resonate.run("hello-1", hello, "nobody");
  return [first, again];
});
