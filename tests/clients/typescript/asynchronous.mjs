// hello.mjs with the SDK's second programming model: async functions instead of generators.
import { Resonate } from "@resonatehq/sdk/async";
import { play } from "./common.mjs";

async function hello(ctx, name) {
  const greeting = await ctx.run(greet);
  return await ctx.rpc("join", greeting, name);
}

async function greet(_) {
  return "hello";
}

async function join(_, ...words) {
  return `${words.join(", ")}!`;
}

await play(
  async (resonate) => {
    resonate.register(hello);
    resonate.register(join);
    return await (await resonate.run("hello-1", hello, "world")).result();
  },
  {},
  Resonate,
);
