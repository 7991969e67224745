// Holds KEDA's resources, a JSON array on standard input, against KEDA's schemas. Prints a JSON array of what is wrong.
import { readFileSync } from "node:fs";

const folder = `${process.env.NODE_PATH}/@kubernetes-models/keda/keda.sh/v1alpha1`;
const models = await import(`${folder}/index.js`);
const problems = [];

// The schemas take keys that they do not know.
function unknownKeys(type, value) {
  const declared = readFileSync(`${folder}/${type}.d.ts`, "utf8");
  return Object.keys(value).filter((key) => !new RegExp(`^\\s+"?${key}"?\\??:`, "m").test(declared));
}

for (const resource of JSON.parse(readFileSync(0, "utf8"))) {
  const name = `${resource.kind} ${resource.metadata.name}`;
  try {
    new models[resource.kind](resource).validate();
  } catch (error) {
    problems.push(`${name}: ${error.message}`);
  }
  const { fallback = {}, triggers = [] } = resource.spec;
  const unknown = [
    ...unknownKeys(`${resource.kind}Spec`, resource.spec),
    ...unknownKeys("Fallback", fallback),
    ...triggers.flatMap((trigger) => unknownKeys("ScaleTriggers", trigger)),
  ];
  problems.push(...unknown.map((key) => `${name}: there is no ${key}`));
}
console.log(JSON.stringify(problems));
