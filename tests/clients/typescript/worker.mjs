// worker.mjs GROUP: functions that others call, whatever their SDK is.
import { serve } from "./common.mjs";

async function add(_, a, b) {
  return a + b;
}

// A generator, because those are not retried.
function* fail(_, text) {
  throw new Error(text);
}

await serve([add, fail], { group: process.argv[2] });
