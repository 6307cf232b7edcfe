/** A private S3 server for one test, and a proxy before it with the faults of networks and stores. */

import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { temporaryFolder } from './files.ts'

/** The credentials that the server takes, as variables of the AWS SDK. */
export const S3_CREDENTIALS = { AWS_ACCESS_KEY_ID: 'S3RVER', AWS_SECRET_ACCESS_KEY: 'S3RVER' } as const

/** The part of s3rver used here; the package has no types. */
interface S3rver {
  run(): Promise<AddressInfo>
  close(): Promise<void>
}

const require = createRequire(import.meta.url)
repairDes(require('node:crypto'))
const S3rver = require('s3rver') as new (options: object) => S3rver

type Ciphers = Record<'createCipheriv' | 'createDecipheriv', (name: string, key: Buffer, iv: Buffer) => unknown>

/**
 * s3rver makes the tokens of long lists with DES, which today's OpenSSL lacks. Triple DES with three times the same key is
 * the same cipher.
 */
function repairDes(crypto: Ciphers): void {
  for (const name of ['createCipheriv', 'createDecipheriv'] as const) {
    const original = crypto[name]
    crypto[name] = (cipher, key, iv) =>
      cipher === 'des' ? original('des-ede3-cbc', Buffer.concat([key, key, key]), iv) : original(cipher, key, iv)
  }
}

export interface S3Server {
  /** `http://127.0.0.1:<port>`, through the proxy. */
  readonly endpoint: string
  readonly bucket: string
  /** The proxy behaves so until the next call. */
  behave(fault: S3Fault): void
  /** How many requests arrived, by method. */
  readonly requests: Readonly<Record<string, number>>
}

export type S3Fault =
  | 'none'
  /** Every request is answered with 503 SlowDown. */
  | 'busy'
  /** The next request is answered with 503, all others are passed on. */
  | 'busy once'
  /** Requests are taken and never answered. */
  | 'silent'
  /** The connection is cut in the middle of each body that is sent. */
  | 'cut'
  /** One byte of each body that is sent is changed on its way. */
  | 'flip'

/** Starts s3rver with one bucket. It closes when the test ends. */
export async function startS3(t: TestContext): Promise<S3Server> {
  const bucket = 'archive'
  const directory = temporaryFolder(t, 's3')
  const server = new S3rver({
    port: 0,
    address: '127.0.0.1',
    silent: true,
    directory,
    configureBuckets: [{ name: bucket, configs: [] }],
  })
  const { port } = await server.run()
  t.after(() => server.close())

  let fault: S3Fault = 'none'
  const requests: Record<string, number> = {}
  const proxy = createServer((from, to) => {
    const method = from.method ?? ''
    requests[method] = (requests[method] ?? 0) + 1
    if (fault === 'silent') return
    if (fault === 'busy' || fault === 'busy once') {
      if (fault === 'busy once') fault = 'none'
      from.resume()
      to.writeHead(503, { 'content-type': 'application/xml' })
      to.end(
        '<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>',
      )
      return
    }
    passOn(from, to, port, () => fault)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => {
    proxy.closeAllConnections()
    proxy.close()
  })
  return {
    endpoint: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    bucket,
    behave: (next) => {
      fault = next
    },
    requests,
  }
}

function passOn(from: IncomingMessage, to: ServerResponse, port: number, fault: () => S3Fault): void {
  const ahead = request({ host: '127.0.0.1', port, method: from.method, path: from.url, headers: from.headers })
  const cut = (): void => {
    ahead.destroy()
    from.socket.destroy()
  }
  ahead.on('response', (reply) => {
    to.writeHead(reply.statusCode ?? 500, reply.headers)
    reply.pipe(to)
  })
  ahead.on('error', cut)
  from.on('data', (piece: Buffer) => {
    // s3rver would store the half that it got, maybe only after the object of the next attempt.
    if (fault() === 'cut') return cut()
    if (fault() === 'flip') piece[0] = (piece[0] ?? 0) ^ 1
    ahead.write(piece)
  })
  from.on('end', () => ahead.end())
}
