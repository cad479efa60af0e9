// A schedule that fires every second: created, read, fired twice, deleted.
import { play } from "./common.mjs";

const fired = [];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function tick(ctx, word) {
  fired.push(ctx.id);
  return `${word} ${fired.length}`;
}

async function status(request) {
  try {
    await request;
  } catch (error) {
    return error.serverError.code;
  }
  return 200;
}

await play(async (resonate) => {
  resonate.register(tick);
  const schedule = await resonate.schedule("every-second", "* * * * * *", "tick", "tick");
  const record = await resonate.schedules.get("every-second");
  while (fired.length < 2) await pause(10);
  const values = [];
  for (const id of fired.slice(0, 2)) values.push(await (await resonate.get(id)).result());
  await schedule.delete();
  const deletedMs = Date.now();
  await pause(1500); // for what must not come any more
  return {
    cron: record.cron,
    values,
    ids: fired,
    deleted_ms: deletedMs,
    gone: await status(resonate.schedules.get("every-second")),
  };
});
