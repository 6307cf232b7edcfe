/**
 * The one door to node:http. GET and HEAD only; nothing here changes anything or asks Redis.
 *
 * Anything in the cluster may connect, so no crowd of clients may take much memory or keep Prometheus out: each connection
 * has a deadline and serves one request, and Node's HTTP server sees it only when the headers of its request are there.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Bind } from '../flags/bind.ts'
import { Connections } from './connections.ts'
import { OneRequest, onceHeaders } from './one_request.ts'

/** Connections that the kernel completes before we accept them. In a burst of more, it lets Prometheus wait for a second. */
const BACKLOG = 4096

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
  const connections = new Connections<Socket>()
  const http = createHttpServer((request, response) => {
    respond(request, response, routes).catch(() => response.destroy())
  })
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => connections.remove(socket))
    onceHeaders(socket, (headers) => {
      connections.beginAnswer(socket)
      http.emit('connection', new OneRequest(socket, headers))
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port: bind.port, host: bind.host, backlog: BACKLOG }, resolve)
  })
  server.removeAllListeners('error')
  server.on('error', () => {})
  return {
    host: bind.host,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        connections.closeAll()
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
    connection: 'close',
    'x-content-type-options': 'nosniff',
    'content-security-policy': answer.policy ?? "default-src 'none'; frame-ancestors 'none'",
  })
  response.end(request.method === 'HEAD' ? undefined : answer.body)
}

/** An answer of one line of text. */
export function plain(status: number, text: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${text}\n` }
}
