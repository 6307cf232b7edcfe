/** The one door to node:http. GET and HEAD only; nothing here changes anything or asks Redis. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Bind } from '../config/bind.ts'

/** What is answered to a GET. */
export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
  /** The Content-Security-Policy; without one the answer may do nothing at all. */
  readonly policy?: string
}

/** By path. What an answer throws cuts the connection. */
export type Routes = Readonly<Record<string, () => Answer | Promise<Answer>>>

/** A server that listens. */
export interface HttpServer {
  /** As it was told. */
  readonly host: string
  /** The one it got, where any was asked for. */
  readonly port: number
  /** Stops at once: a scrape in progress is cut, and Prometheus tries again. */
  close(): Promise<void>
}

/** Serves until closed. @throws the system's error (EADDRINUSE, EADDRNOTAVAIL, …) where it cannot listen */
export async function serve(bind: Bind, routes: Routes): Promise<HttpServer> {
  const server = createServer((request, response) => {
    respond(request, response, routes).catch(() => response.destroy())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(bind.port, bind.host, resolve)
  })
  server.removeAllListeners('error')
  server.on('error', () => {})
  return {
    host: bind.host,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function respond(request: IncomingMessage, response: ServerResponse, routes: Routes): Promise<void> {
  const path = (request.url ?? '/').replace(/[?#].*$/s, '')
  const route = Object.hasOwn(routes, path) ? routes[path] : undefined
  const isRead = request.method === 'GET' || request.method === 'HEAD'
  if (!isRead) response.setHeader('allow', 'GET, HEAD')
  const answer = !isRead
    ? plain(405, 'GET and HEAD only')
    : route === undefined
      ? plain(404, 'no such page')
      : await route()
  response.writeHead(answer.status, {
    'content-type': answer.type,
    'content-length': Buffer.byteLength(answer.body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': answer.policy ?? "default-src 'none'; frame-ancestors 'none'",
  })
  response.end(request.method === 'HEAD' ? undefined : answer.body)
}

/** An answer of one line of text. */
export function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` }
}
