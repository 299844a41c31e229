// The vendor's API clients, asked line by line: a JSON call in, its outcome out.
//
//   {client: "shared" | "node", settings: {clientId, …}, method, arguments}
//   {build: "page" | "track" | "identify" | "component" | …, data}   an event, as the SDK builds it
//   {parse: "CreateProfileResponse", value}  what the SDK's schema makes of it
//   {addresses: [text, …]}                   pathname, search and parameters of each, or null
//
// An outcome is {value} or {error: {name, message}}, with what went over the wire: `exchanges`
// (not for "node", which brings its own fetch) and what the SDK logged. The working directory is
// the folder that holds node_modules.

const { createRequire } = require('node:module');
const { join } = require('node:path');
const { createInterface } = require('node:readline');

const load = createRequire(join(process.cwd(), 'package.json'));
const sdk = load('@ninetailed/experience.js-shared');
const { NinetailedAPIClient } = load('@ninetailed/experience.js-node');

const lines = [];
sdk.logger.removeSinks();
sdk.logger.addSink({
  name: 'judge',
  ingest: ({ level, messages }) => lines.push(`${level}: ${messages[0]}`),
});

const builders = {
  page: sdk.buildPageEvent,
  track: sdk.buildTrackEvent,
  identify: sdk.buildIdentifyEvent,
  component: sdk.buildComponentViewEvent,
  component_click: sdk.buildComponentClickEvent,
  component_hover: sdk.buildComponentHoverEvent,
};

const recording = (exchanges) => async (url, init) => {
  const exchange = { url, method: init.method, headers: init.headers ?? {}, body: init.body };
  exchanges.push(exchange);
  const response = await fetch(url, init);
  exchange.status = response.status;
  exchange.answered = Object.fromEntries(response.headers);
  exchange.answer = await response.clone().json();
  return response;
};

const address = (text) => {
  if (!URL.canParse(text)) return null;
  const { pathname, search, searchParams } = new URL(text);
  return [pathname, search, Object.fromEntries(searchParams)];
};

const outcome = async (call, exchanges) => {
  if (call.build) return builders[call.build](call.data);
  if (call.addresses) return call.addresses.map(address);
  if (call.parse) return sdk[call.parse].parse(call.value);
  const client =
    call.client === 'node'
      ? new NinetailedAPIClient(call.settings)
      : new sdk.NinetailedApiClient({ ...call.settings, fetchImpl: recording(exchanges) });
  return client[call.method](...call.arguments);
};

const main = async () => {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const exchanges = [];
    lines.length = 0;
    const said = await outcome(JSON.parse(line), exchanges).then(
      (value) => ({ value }),
      (error) => ({ error: { name: error.name, message: error.message } }),
    );
    process.stdout.write(JSON.stringify({ ...said, exchanges, log: lines }) + '\n');
  }
};

main();
