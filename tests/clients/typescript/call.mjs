// call.mjs GROUP...: call each group's add and fail, directly and from a workflow.
import { play } from "./common.mjs";

function* workflow(ctx, target) {
  const there = ctx.options({ target });
  const value = yield* ctx.rpc("add", 2, 3, there);
  try {
    return [value, yield* ctx.rpc("fail", "no", there)];
  } catch (error) {
    return [value, `failed: ${error.message}`];
  }
}

async function text(call) {
  try {
    return await call;
  } catch (error) {
    return `failed: ${error.message}`;
  }
}

async function call(resonate, target) {
  const there = resonate.options({ target });
  return [
    await resonate.rpc(`add-${target}`, "add", 2, 3, there),
    await text(resonate.rpc(`fail-${target}`, "fail", "no", there)),
    ...(await resonate.run(`workflow-${target}`, workflow, target)),
  ];
}

await play(
  async (resonate) => {
    resonate.register(workflow);
    const found = {};
    for (const target of process.argv.slice(2)) found[target] = await call(resonate, target);
    return found;
  },
  { group: "caller" },
);
