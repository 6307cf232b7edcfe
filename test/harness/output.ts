/**
 * Validates the output of `--output json` against the published schemas. The published ones allow further fields, because
 * scripts must accept the fields of later versions. The tests do not, so that a schema must describe every field.
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
  explain: ajv.compile(closed(publishedSchema('explain')) as object),
  top: ajv.compile(closed(publishedSchema('top')) as object),
}

/** The published schema of a command. */
export function publishedSchema(command: 'sweep' | 'plan' | 'explain' | 'top'): object {
  return JSON.parse(readFileSync(new URL(`../../schema/${command}.json`, import.meta.url), 'utf8')) as object
}

/** The schema without room for further properties. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const fields = Object.fromEntries(Object.entries(schema).map(([name, value]) => [name, closed(value)]))
  return fields.type === 'object' && 'properties' in fields ? { additionalProperties: false, ...fields } : fields
}

/** Parses stdout, which must be one line with one object that matches the command's schema. */
export function readOutput(command: keyof typeof SCHEMAS, stdout: string): Record<string, unknown> {
  assert.match(stdout, /^\{.*\}\n$/, 'one line of JSON and nothing else on stdout')
  const output = JSON.parse(stdout) as Record<string, unknown>
  const complaints = complaintsAbout(command, output)
  assert.deepEqual(complaints, [], stdout)
  return output
}

/** Every difference between an object and the command's schema. */
export function complaintsAbout(command: keyof typeof SCHEMAS, output: object): string[] {
  const isValid = SCHEMAS[command]
  return isValid(output) ? [] : (isValid.errors ?? []).map(({ instancePath, message }) => `${instancePath} ${message}`)
}
