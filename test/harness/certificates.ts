/** Certificates of a test's own, made with `openssl` as an operator would. */

import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The paths of a certificate and its key. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

export interface Authority {
  /** The path of its own certificate: what to trust. */
  readonly cert: string
  /** A certificate for this name, which ended yesterday if told so. */
  issue(name: string, options?: { readonly expired?: boolean }): Promise<Pair>
}

/** A folder of certificates, gone when the test ends; each call of the function makes an authority of its own. */
export async function makeAuthorities(t: TestContext): Promise<{ folder: string; make: () => Promise<Authority> }> {
  const folder = await mkdtemp(join(tmpdir(), 'xtrimd-tls-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  let made = 0
  const paths = (what: string): Pair => {
    const path = join(folder, `${made++}-${what}`)
    return { cert: `${path}.crt`, key: `${path}.key` }
  }
  // A key on a curve is made in no time.
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
        // As it was signed in its day: what was valid for a day is expired today.
        const [program = '', ...args] = expired ? ['faketime', '-f', '-2d', ...sign] : sign
        await run(program, args)
        return pair
      },
    }
  }
  return { folder, make }
}
