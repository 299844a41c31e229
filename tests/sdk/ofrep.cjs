// OpenFeature's OFREP providers, as servers and as pages use them, against one server.
// Takes {"base", "from", "to"}: where the server is, and which file to put in place of which
// while a page is watching. Writes what was evaluated.
"use strict";

const path = require("node:path");
const { createRequire } = require("node:module");
const load = createRequire(path.join(process.cwd(), "node_modules", "x.js"));

const server = load("@openfeature/server-sdk");
const web = load("@openfeature/web-sdk");
const { OFREPProvider } = load("@openfeature/ofrep-provider");
const { OFREPWebProvider } = load("@openfeature/ofrep-web-provider");

function shown(details) {
  const { value, reason, variant, errorCode, flagMetadata } = details;
  return { value, reason, variant, errorCode, flagMetadata };
}

const ASKED = [
  ["Boolean", "boolean", false],
  ["String", "string", "-"],
  ["Number", "integer", 1],
  ["Number", "float", 0.1],
  ["Object", "object", {}],
  ["String", "gold", "mine"],
  ["String", "nothing", "-"],
  ["Boolean", "string", false],
  ["String", "off", "mine"],
];

async function asServer(base) {
  await server.OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: base }));
  const client = server.OpenFeature.getClient();
  const context = { targetingKey: "v", plan: "gold", location: { city: "Berlin" } };
  const found = [];
  for (const [kind, key, fallback] of ASKED) {
    found.push([key, shown(await client[`get${kind}Details`](key, fallback, context))]);
  }
  const without = shown(await client.getStringDetails("split", "-", {}));
  const place = { targetingKey: "v", location: "x" };
  const wrong = shown(await client.getStringDetails("split", "-", place));
  return { found, without, wrong };
}

async function asPage(base, rewrite) {
  const exchanges = [];
  const fetchImplementation = async (request) => {
    const response = await fetch(request);
    const [asked, given] = [request.headers.get("if-none-match"), response.headers.get("etag")];
    exchanges.push([response.status, asked, given]);
    return response;
  };
  await web.OpenFeature.setContext({ targetingKey: "v", plan: "gold" });
  const provider = new OFREPWebProvider({ baseUrl: base, pollInterval: 200, fetchImplementation });
  const changes = [];
  web.OpenFeature.addHandler(web.ProviderEvents.ConfigurationChanged, (details) =>
    changes.push(details.flagsChanged),
  );
  await web.OpenFeature.setProviderAndWait(provider);
  const client = web.OpenFeature.getClient();
  const found = ASKED.map(([kind, key, fallback]) => [
    key,
    shown(client[`get${kind}Details`](key, fallback)),
  ]);
  const until = async (holds) => {
    for (let waited = 0; !holds(); waited += 20) {
      if (waited > 20000) throw new Error("it did not happen");
      await new Promise((done) => setTimeout(done, 20));
    }
  };
  await until(() => exchanges.some(([status]) => status === 304));
  await web.OpenFeature.setContext({ targetingKey: "v", plan: "blue" });
  const blue = shown(client.getStringDetails("gold", "mine"));
  await rewrite();
  await until(() => changes.length > 0);
  const changed = shown(client.getStringDetails("string", "-"));
  await web.OpenFeature.clearProviders();
  return { found, blue, exchanges, changes, changed };
}

(async () => {
  const { base, from, to } = JSON.parse(process.argv[2]);
  const fs = require("node:fs");
  const answer = {
    server: await asServer(base),
    page: await asPage(base, async () => fs.renameSync(from, to)),
  };
  process.stdout.write(JSON.stringify(answer));
  process.exit(0);
})().catch((error) => {
  process.stderr.write(String(error && error.stack));
  process.exit(1);
});
