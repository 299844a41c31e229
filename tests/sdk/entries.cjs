// The vendor's SDK resolves entries and merge tags: NDJSON of cases in, NDJSON of its answers out.
//
// A case is {kind, ...}. The working directory is the folder that holds node_modules.
//
//   choose  {entry, experiences}             what one entry becomes: Ninetailed.onSelectVariant
//   content {entries}                        the content of the pages that follow
//   render  {root, experiences, profile}     a whole page, rendered by React on the server
//   tags    {ids, fallback, profile}         merge tags, rendered by React on the server

const { createRequire } = require('node:module');
const { join } = require('node:path');
const { createInterface } = require('node:readline');

const load = createRequire(join(process.cwd(), 'package.json'));
const React = load('react');
const { renderToStaticMarkup } = load('react-dom/server');
const { Ninetailed } = load('@ninetailed/experience.js');
const { logger } = load('@ninetailed/experience.js-shared');
const { ExperienceMapper } = load('@ninetailed/experience.js-utils-contentful');
const { ESRLoadingComponent, ESRProvider, Experience, MergeTag, NinetailedProvider } = load(
  '@ninetailed/experience.js-react'
);

const h = React.createElement;

// The SDK logs every decision; without sinks nothing of it reaches stdout, which is the answer.
logger.removeSinks();

const ninetailed = new Ninetailed({ clientId: 'shop', environment: 'main' }, { plugins: [] });

// As if the Experience API had answered. What is dispatched before the SDK's plugins are there is
// lost, and what comes later is seen a little later.
let answers = 0;
const answered = async (profile, experiences) => {
  const changes = [{ key: 'answer', type: 'Variable', value: ++answers }];
  const payload = { profile, experiences, changes, error: undefined };
  while (ninetailed.profileState.changes?.[0]?.value !== answers) {
    await ninetailed.instance.dispatch({ type: 'profile-change', ...payload });
    await new Promise(setImmediate);
  }
};

const VISITOR = { id: 'visitor', stableId: 'visitor', traits: {}, audiences: [] };

const mapped = (entry) => {
  // The SDK has no answer for an entry without the field.
  if (!Array.isArray(entry.fields.nt_experiences)) return [];
  return ExperienceMapper.mapBaselineWithExperiences(entry);
};

const choose = async ({ entry, experiences }) => {
  await answered(VISITOR, experiences);
  let attached;
  try {
    attached = mapped(entry);
  } catch (error) {
    return { error: String(error.message).slice(0, 200) };
  }
  let state;
  const baseline = { ...entry, id: entry.sys.id };
  ninetailed.onSelectVariant({ baseline, experiences: attached }, (seen) => (state = seen))();
  return {
    id: state.variant.id,
    hidden: state.variant.hidden === true,
    experience: state.experience?.id ?? null,
    index: state.variantIndex,
    sticky: state.experience?.sticky ?? null,
  };
};

// What contentful.js does: a link to something that is there becomes that.
const link = (entries) => {
  const found = new Map(entries.map((entry) => [entry.sys.id, entry]));
  const linked = (value) => {
    if (Array.isArray(value)) return value.map(linked);
    if (value === null || typeof value !== 'object') return value;
    if (value.sys?.type === 'Link') return found.get(value.sys.id) ?? value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, linked(item)]));
  };
  for (const entry of entries) entry.fields = linked(entry.fields);
  return found;
};

const isEntry = (value) => value?.sys !== undefined && value.fields !== undefined;

const Place = ({ entry }) =>
  h(Experience, {
    ...entry,
    id: entry.sys.id,
    experiences: mapped(entry),
    component: Content,
    loadingComponent: ESRLoadingComponent,
  });

const show = (value) => {
  if (typeof value === 'string') return value;
  if (Array.isArray(value)) return value.map(show);
  if (value === null || typeof value !== 'object') return null;
  if (isEntry(value)) return h(Place, { entry: value });
  if (value.nodeType === 'text') return value.value;
  if (value.nodeType === 'embedded-entry-inline' && isEntry(value.data.target)) {
    const { target } = value.data;
    if (target.sys.contentType?.sys.id === 'nt_mergetag') {
      return h(MergeTag, {
        id: target.fields.nt_mergetag_id,
        fallback: target.fields.nt_fallback,
      });
    }
    return h(Place, { entry: target });
  }
  if (value.nodeType !== undefined && isEntry(value.data?.target)) {
    return h(Place, { entry: value.data.target });
  }
  return (value.content ?? []).map(show);
};

// One that takes a ref: beside others the SDK puts a marker that it can observe.
const Content = React.forwardRef(({ id, fields, hidden }, _ref) => {
  // What Experience itself does in a browser; its stand-in on a server leaves it to the component.
  if (hidden) return null;
  const shown = Object.entries(fields).filter(([name]) => name !== 'nt_experiences');
  return h('x-entry', { id }, ...shown.map(([name, value]) => h('x-field', { name }, show(value))));
});

const quietly = (make) => {
  const said = console.error;
  console.error = () => {};
  try {
    return renderToStaticMarkup(make());
  } finally {
    console.error = said;
  }
};

let found = new Map();

const content = async ({ entries }) => {
  found = link(entries);
  return {};
};

const render = async ({ root, experiences, profile }) => {
  await answered(profile, experiences);
  const experienceVariantsMap = Object.fromEntries(
    experiences.map((one) => [one.experienceId, one.variantIndex])
  );
  const page = () =>
    h(
      NinetailedProvider,
      { ninetailed },
      h(ESRProvider, { experienceVariantsMap }, h(Place, { entry: found.get(root) }))
    );
  return { markup: quietly(page) };
};

const tags = async ({ ids, fallback, profile }) => {
  await answered(profile, []);
  return ids.map((id) => {
    const page = () => h(NinetailedProvider, { ninetailed }, h(MergeTag, { id, fallback }));
    try {
      return { markup: quietly(page) };
    } catch {
      return { error: 'not to be rendered' };
    }
  });
};

const KINDS = { choose, content, render, tags };

const main = async () => {
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const request = JSON.parse(line);
    process.stdout.write(JSON.stringify(await KINDS[request.kind](request)) + '\n');
  }
};

main();
