// What the programs share. Where the server is, they learn from RESONATE_URL.
import { Resonate } from "@resonatehq/sdk";

/** Run main(resonate); print what it returns. */
export async function play(main, settings = {}, Client = Resonate) {
  const resonate = new Client({ logLevel: "info", ...settings });
  const value = await main(resonate);
  await resonate.stop();
  console.log("result", JSON.stringify(value));
  process.exit(0); // the SDK leaves timers behind
}

/** Work until killed. */
export async function serve(functions, settings) {
  const resonate = new Resonate({ logLevel: "info", ...settings });
  for (const each of functions) resonate.register(each);
  await new Promise(() => {});
}
