/** Certificates for a test, made with `openssl` as an operator would. */

import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'
import { temporaryFolder } from './files.ts'

const run = promisify(execFile)

/** Paths of a certificate and its key. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface Authority {
  /** Path of the CA certificate, for clients to trust. */
  readonly cert: string
  /** Issues a certificate for this name; with `expired`, one that expired yesterday. */
  issue(name: string, options?: { readonly expired?: boolean }): Promise<Pair>
}

/** A folder for certificates, removed when the test ends. Each call of `make` creates another CA. */
export async function makeAuthorities(t: TestContext): Promise<{ folder: string; make: () => Promise<Authority> }> {
  const folder = temporaryFolder(t, 'tls')
  let made = 0
  const paths = (what: string): Pair => {
    const path = join(folder, `${made++}-${what}`)
    return { cert: `${path}.crt`, key: `${path}.key` }
  }
  // Elliptic-curve keys are fast to generate.
  const newKey = (path: string) => [
    ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', path],
  ]

  async function make(): Promise<Authority> {
    const own = paths('authority')
    const subject = ['-subj', '/CN=the authority of a test', '-days', '7']
    await run('openssl', ['req', '-x509', ...newKey(own.key), '-out', own.cert, ...subject])
    return {
      cert: own.cert,
      async issue(name, { expired = false } = {}) {
        const pair = paths(name)
        const request = `${pair.key}.csr`
        const names = `${pair.key}.names`
        await writeFile(names, `subjectAltName=DNS:${name}\n`)
        await run('openssl', ['req', '-new', ...newKey(pair.key), '-out', request, '-subj', `/CN=${name}`])
        const signing = ['x509', '-req', '-in', request, '-extfile', names, '-CA', own.cert, '-CAkey', `${own.key}`]
        const sign = ['openssl', ...signing, '-CAcreateserial', '-days', '1', '-out', pair.cert]
        // Signed two days ago and valid for one day.
        const [program = '', ...args] = expired ? ['faketime', '-f', '-2d', ...sign] : sign
        await run(program, args)
        return pair
      },
    }
  }
  return { folder, make }
}
