/**
 * What `--output json` prints, held to the schemas that the repository publishes. Those are open, since a script must not
 * mind a field that comes with a minor version; here they are closed, since ours must tell of every field there is.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { Ajv2020 } from 'ajv/dist/2020.js'

const ajv = new Ajv2020({
  strict: true,
  strictRequired: false,
  allErrors: true,
  formats: { 'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/ },
})

const SCHEMAS = {
  sweep: ajv.compile(closed(publishedSchema('sweep')) as object),
  plan: ajv.compile(closed(publishedSchema('plan')) as object),
}

/** The schema of a command, as scripts use it. */
export function publishedSchema(command: 'sweep' | 'plan'): object {
  return JSON.parse(readFileSync(new URL(`../../schema/${command}.json`, import.meta.url), 'utf8')) as object
}

/** The same, with no room for a property that it does not name. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const fields = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return fields.type === 'object' && 'properties' in fields ? { additionalProperties: false, ...fields } : fields
}

/** Reads the one object on stdout, which must be what the command's schema says, and all that stands there. */
export function readOutput(command: keyof typeof SCHEMAS, stdout: string): Record<string, unknown> {
  assert.match(stdout, /^\{.*\}\n$/, 'one line of JSON and nothing else on stdout')
  const output = JSON.parse(stdout) as Record<string, unknown>
  const complaints = complaintsAbout(command, output)
  assert.deepEqual(complaints, [], stdout)
  return output
}

/** Where an object is not what the command's schema says. */
export function complaintsAbout(command: keyof typeof SCHEMAS, output: object): string[] {
  const isValid = SCHEMAS[command]
  return isValid(output) ? [] : (isValid.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
