/** Renders the manifests with Kustomize, and checks whether the API server would accept them. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { ROOT } from './files.ts'

const PATH = `${join(ROOT, 'node_modules/.bin')}:${process.env.PATH}`

// biome-ignore lint/suspicious/noExplicitAny: objects of many kinds; the real types check them, see `problemsOf`.
export type KubernetesObject = any

/** Everything that `kubectl kustomize k8s/<folder>` renders. @throws with what kubectl said */
export function render(folder: string): KubernetesObject[] {
  const env = { ...process.env, PATH }
  const ended = spawnSync('kubectl', ['kustomize', join(ROOT, 'k8s', folder)], { encoding: 'utf8', env })
  if (ended.error) throw new Error(`kubectl: ${ended.error.message}; scripts/bootstrap tests installs it`)
  // kubectl warns of things that a later version will reject.
  if (ended.status !== 0 || ended.stderr !== '') throw new Error(`kubectl kustomize ${folder}: ${ended.stderr}`)
  return parseAllDocuments(ended.stdout).map((document) => document.toJS())
}

/** The module with the types of an API. */
function moduleOf(apiVersion: string): string {
  return apiVersion.startsWith('monitoring.coreos.com/')
    ? `@kubernetes-models/prometheus-operator/${apiVersion}`
    : `kubernetes-models/${apiVersion}`
}

/**
 * The problems with these objects: unknown fields and values of the wrong type, found by compiling them as literals of the
 * API's types, and everything that the API's schemas reject.
 */
export async function problemsOf(objects: readonly KubernetesObject[]): Promise<string[]> {
  return [...typeProblems(objects), ...(await Promise.all(objects.map(schemaProblems))).flat()]
}

function typeProblems(objects: readonly KubernetesObject[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'xtrimd-manifests-'))
  try {
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const compilerOptions = { strict: true, noEmit: true, skipLibCheck: true, module: 'nodenext', types: [] }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }))
    writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module' }))
    objects.forEach((object, n) => {
      const { apiVersion, kind, metadata } = object
      const type = `import type { I${kind} } from '${moduleOf(apiVersion)}'\n`
      const name = `${n}-${kind}-${metadata?.name}`.replaceAll(/[^\w-]/g, '_')
      writeFileSync(
        join(folder, `${name}.ts`),
        `${type}export const object: I${kind} = ${JSON.stringify(object, null, 1)}\n`,
      )
    })
    const ended = spawnSync('tsc', ['--pretty', 'false', '-p', folder], {
      encoding: 'utf8',
      env: { ...process.env, PATH },
    })
    if (ended.error) throw ended.error
    return ended.stdout.split('\n').filter((line) => line !== '')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function schemaProblems(object: KubernetesObject): Promise<string[]> {
  const { apiVersion, kind, metadata } = object
  const api = (await import(moduleOf(apiVersion))) as Record<string, new (data: unknown) => { validate(): void }>
  const Model = api[kind]
  if (Model === undefined) return [`${apiVersion} has no ${kind}`]
  // Kustomize wraps long values of a Secret. The API server accepts that; the schema does not.
  const data = kind === 'Secret' && object.data
  const unbroken = data
    ? {
        ...object,
        data: Object.fromEntries(Object.entries(data).map(([key, value]) => [key, String(value).replace(/\s/g, '')])),
      }
    : object
  try {
    new Model(unbroken).validate()
    return []
  } catch (error) {
    return [`${kind} ${metadata?.name}: ${(error as Error).message}`]
  }
}
