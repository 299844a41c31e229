// The vendor's SDK decides: NDJSON of {experience, profile} in, NDJSON of its decisions out.
//
// `experience` is in the SDK's own shape (docs: types/ExperienceDefinition of the package). The
// working directory is the folder that holds node_modules.

const { createRequire } = require('node:module');
const { join } = require('node:path');
const { createInterface } = require('node:readline');

const sdk = createRequire(join(process.cwd(), 'package.json'))('@ninetailed/experience.js-shared');

// The SDK logs every decision; without sinks nothing of it reaches stdout, which is the answer.
sdk.logger.removeSinks();

const decide = ({ experience, profile }) => ({
  traffic: sdk.getTrafficRandom(profile, experience),
  distribution: sdk.getDistributionRandom(profile, experience),
  match: sdk.isExperienceMatch({ experience, profile }),
  selected: sdk.selectExperience({ experiences: [experience], profile })?.id ?? null,
  index: sdk.selectDistribution({ experience, profile }).index,
  components: experience.components.map(({ baseline }) => {
    const { index, variant } = sdk.selectVariant({ baseline, experience, profile });
    return { baseline: baseline.id, index, id: variant.id };
  }),
});

const main = async () => {
  let block = [];
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    block.push(JSON.stringify(decide(JSON.parse(line))));
    if (block.length === 1000) {
      process.stdout.write(block.join('\n') + '\n');
      block = [];
    }
  }
  if (block.length > 0) process.stdout.write(block.join('\n') + '\n');
};

main();
