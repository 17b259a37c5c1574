/** The public port of one bid thread: bids, notices, health checks, and 404 for everything else. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { ListenOptions, Socket } from 'node:net'
import { LIMITS } from '../limits.ts'
import type { Recorder } from '../telemetry/recorder.ts'
import { COUNTER, responseCounter } from '../telemetry/signals.ts'
import { headRefusal } from './bid-headers.ts'
import type { BidRoute } from './bid-route.ts'
import { type HttpCall, PASSED } from './http-call.ts'
import { putLane } from './lane.ts'
import { NodeCall } from './node-call.ts'
import type { NoticeRoute } from './notice-route.ts'
import { cutUnread } from './unread-answers.ts'

/** What the health checks answer from; asked anew for every check. */
export interface Health {
  /** State loaded, self-bid passed, not draining. */
  readonly isReady: () => boolean
  /** Every event loop has turned lately. */
  readonly isLive: () => boolean
}

/** A certificate with its chain, and its key, both as PEM. */
export interface Certificate {
  readonly cert: string
  readonly key: string
}

/** What the public port needs of its bid thread. */
export interface PublicServerDeps {
  readonly tenantId: string
  readonly route: BidRoute
  /** Without it there are no notices. */
  readonly noticeRoute?: NoticeRoute | undefined
  readonly health: Health
  readonly recorder: Recorder
  /** With it the port speaks TLS and nothing else. */
  readonly certificate?: Certificate | undefined
  /** Longer than the load balancer keeps an idle connection, or it would send into a closing one. */
  readonly keepAliveMs: number
  /** Connections at once; LIMITS.connectionsMax but in tests. */
  readonly connectionsMax?: number
}

/** Headers and body together must have arrived by then; see faults such as Slowloris. */
const REQUEST_MS_MAX = 5_000
const CONNECTION_CHECK_MS = 500

const HTTP_OPTIONS = {
  maxHeaderSize: LIMITS.headerBytesMax,
  requestTimeout: REQUEST_MS_MAX,
  headersTimeout: REQUEST_MS_MAX,
  connectionsCheckingInterval: CONNECTION_CHECK_MS,
}

/** The port, which does not listen before it is told to. */
export interface PublicServer {
  readonly server: Server
  /** Rejects with the system's error. */
  readonly listen: (address: ListenOptions) => Promise<void>
  /** Accepts no more. Resolves once all connections have ended; those that are idle do so at once. */
  readonly close: () => Promise<void>
}

/** Listens to nothing yet. */
export function createPublicServer(deps: PublicServerDeps): PublicServer {
  const { route, noticeRoute, recorder, certificate, keepAliveMs } = deps
  const options = { ...HTTP_OPTIONS, keepAliveTimeout: keepAliveMs }
  const take = (call: HttpCall): void => {
    if (!route.take(call) && noticeRoute?.take(call) !== true) answerOther(call, deps, server.listening)
  }
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    recorder.count(COUNTER.requestsByNode)
    const refusal = headRefusal(req.rawHeaders)
    if (refusal !== 0) refuse(req, res, refusal, recorder)
    else take(new NodeCall(req, res))
  }
  const server: Server = certificate
    ? createTlsServer({ ...options, ...certificate, handshakeTimeout: REQUEST_MS_MAX }, listener)
    : createServer(options, listener)
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => refuseSocket(error, socket as Socket, recorder))
  server.on('tlsClientError', () => recorder.count(COUNTER.tlsFailures))
  const refuseHalf = (socket: Socket, code: string): void => refuseSocket({ code }, socket, recorder)
  putLane(server, { take, refuse: refuseHalf, requestMs: REQUEST_MS_MAX, keepAliveMs })
  cutUnread(server)
  server.maxConnections = deps.connectionsMax ?? LIMITS.connectionsMax
  server.on('drop', () => recorder.count(COUNTER.connectionsRefused))
  server.on('connection', () => recorder.count(COUNTER.connections))
  return {
    server,
    listen: address =>
      new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen(address, () => {
          server.off('error', reject)
          resolve()
        })
      }),
    close: () => new Promise(resolve => server.close(() => resolve())),
  }
}

/** New connections of a port that speaks TLS get another certificate; those that are open keep theirs. */
export function renewCertificate({ server }: PublicServer, certificate: Certificate): void {
  if (server instanceof TlsServer) server.setSecureContext({ ...certificate })
}

/** Answers what no route wants. The body has no use. No echo of the path: another tenant's name must not come back. */
function answerOther(call: HttpCall, deps: PublicServerDeps, isListening: boolean): void {
  const status = otherStatus(call, deps)
  deps.recorder.count(responseCounter(status))
  call.takeBody(PASSED)
  if (!isListening) call.close()
  call.answer(status, 'Content-Length: 0\r\n', '')
}

/** Of a health check, with the tenant in its path or without; 404 for every other path. */
function otherStatus({ method, url }: HttpCall, { tenantId, health }: PublicServerDeps): 200 | 404 | 503 {
  if (method !== 'GET' && method !== 'HEAD') return 404
  const query = url.indexOf('?')
  const path = query < 0 ? url : url.slice(0, query)
  const check = path.startsWith(`/${tenantId}/`) ? path.slice(tenantId.length + 1) : path
  if (check === '/health/ready') return health.isReady() ? 200 : 503
  if (check === '/health/live') return health.isLive() ? 200 : 503
  return 404
}

/** The connection ends: what follows may be meant for another server. */
function refuse(req: IncomingMessage, res: ServerResponse, status: number, recorder: Recorder): void {
  recorder.count(responseCounter(status))
  req.resume()
  res.shouldKeepAlive = false
  res.writeHead(status, { 'Content-Length': 0 }).end()
}

const CLIENT_ERRORS: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
}

const TLS_ERROR = /^ERR_(TLS|SSL)_/

/** Answers what is not HTTP, or comes too slowly, and closes. */
function refuseSocket(error: { readonly code?: string }, socket: Socket, recorder: Recorder): void {
  // Who has not shaken hands can read no answer, and would hold the connection until there is one.
  if (error.code === 'ECONNRESET' || !socket.writable || TLS_ERROR.test(error.code ?? '')) {
    socket.destroy()
    return
  }
  const line = CLIENT_ERRORS[error.code ?? ''] ?? '400 Bad Request'
  recorder.count(responseCounter(Number(line.slice(0, 3))))
  socket.end(`HTTP/1.1 ${line}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
  // Who was too slow to send may be too slow to close. (For others that would be a reset that overtakes the answer.)
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') socket.destroySoon()
}
