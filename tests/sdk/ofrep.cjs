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

// The newest client of the protocol, which accepts nothing but the protocol's shapes: it throws on
// a failure without a key or a code, and on an answer that is neither.
async function asProtocol(base) {
  const { OFREPApi, toResolutionDetails } = load("ofrep-core-newest");
  const api = new OFREPApi({ baseUrl: base });
  const nowhere = new OFREPApi({ baseUrl: base.replace("/main", "/nowhere") });
  const context = { targetingKey: "v", plan: "gold" };
  const one = async (from, key, asked) => {
    const { httpStatus, value } = await from.postEvaluateFlag(key, asked);
    if (httpStatus !== 200) return { status: httpStatus, body: value };
    // A default of the value's own type, which is what a caller would have.
    const fallback = { boolean: false, number: -1, object: {} }[typeof value.value] ?? "mine";
    return { status: 200, body: value, details: toResolutionDetails(value, fallback) };
  };
  const all = async (from, asked, etag) => {
    const { httpStatus, value, httpResponse } = await from.postBulkEvaluateFlags(asked, etag);
    return { status: httpStatus, body: value, etag: httpResponse.headers.get("etag") };
  };
  const flags = await all(api, { context });
  return {
    ones: await Promise.all(flags.body.flags.map(({ key }) => one(api, key, { context }))),
    blue: await one(api, "gold", { context: { targetingKey: "v" } }),
    off: await one(api, "off", { context }),
    unknown: await one(api, "nothing", { context }),
    keyless: await one(api, "split", { context: {} }),
    wrong: await one(api, "split", { context: { targetingKey: "v", location: "x" } }),
    elsewhere: await one(nowhere, "split", { context }),
    flags,
    same: await all(api, { context }, flags.etag),
    allKeyless: await all(api, {}),
    allWrong: await all(api, { context: { targetingKey: "v", location: "x" } }),
    allElsewhere: await all(nowhere, { context }),
  };
}

(async () => {
  const { base, from, to } = JSON.parse(process.argv[2]);
  const fs = require("node:fs");
  const answer = {
    protocol: await asProtocol(base),
    server: await asServer(base),
    page: await asPage(base, async () => fs.renameSync(from, to)),
  };
  process.stdout.write(JSON.stringify(answer));
  process.exit(0);
})().catch((error) => {
  process.stderr.write(String(error && error.stack));
  process.exit(1);
});
