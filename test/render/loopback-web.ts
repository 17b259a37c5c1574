/** All of the internet that the browser sees: one HTTPS server on loopback behind every host name. */
import { readFile, rm } from 'node:fs/promises'
import { type IncomingMessage, request as openRequest, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import { stripTypeScriptTypes } from 'node:module'
import type { AddressInfo } from 'node:net'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { makeCertificates } from '../certificates.ts'

/** A file that an address leads to. */
export interface WebFile {
  readonly mime: string
  readonly body: Buffer
}

/** A request that was no file: a tracker was called, a landing page opened, or a service of ours told. */
export interface Hit {
  readonly host: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** What a service of ours answered. */
  readonly status?: number
}

/** The server. */
export interface LoopbackWeb {
  readonly port: number
  readonly hits: readonly Hit[]
  /** Waits until as many hits match as are asked for, then a moment longer, and gives all that do. Fails after 15 s. */
  hitsOf(matches: (hit: Hit) => boolean, count: number): Promise<readonly Hit[]>
  forget(): void
  close(): void
}

/** Hosts whose files lie in page/. */
export const PAGE_HOST = 'www.ridgepost.example'
/** Leads to the services, by the path's first part: the tenant. */
export const BALANCER_HOST = 'bids.endpoint.example'
const PAGE_FILES: Readonly<Record<string, string>> = {
  '/': './page/publisher.html',
  '/mraid.js': './page/mraid.ts',
}
const PAGE_MIMES: Readonly<Record<string, string>> = { html: 'text/html; charset=utf-8', ts: 'text/javascript' }
const PIXEL = Buffer.from('R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7', 'base64')
/** Trackers that are called once too often are called within this time. */
const SETTLE_MS = 150
const HITS_LIMIT_MS = 15_000

/** What is behind the host names. */
export interface WebContent {
  /** What hosts have, by host and path; what they lack is a hit. */
  files(address: string): Promise<WebFile | undefined>
  /** The port of a tenant's service. */
  servicePort(tenant: string): number | undefined
}

/** Listens. The certificate is of nobody: the browser is told not to mind. */
export async function openLoopbackWeb({ files, servicePort }: WebContent): Promise<LoopbackWeb> {
  const { certFile, keyFile, caFile } = await makeCertificates()
  const hits: Hit[] = []
  const answer = async (host: string, target: string): Promise<WebFile> => {
    const { pathname, searchParams } = new URL(target, `https://${host}`)
    if (host === PAGE_HOST) return await pageFile(pathname)
    const file = await files(host + pathname)
    if (file !== undefined) return file
    hits.push({ host, path: pathname, query: Object.fromEntries(searchParams) })
    if (host.startsWith('www.')) return { mime: 'text/html', body: Buffer.from(`<title>${host}${pathname}</title>`) }
    const script = `new Image().src = 'https://${host}/script-ran'`
    return pathname.endsWith('.js')
      ? { mime: 'text/javascript', body: Buffer.from(script) }
      : { mime: 'image/gif', body: PIXEL }
  }
  const keys = { cert: await readFile(certFile), key: await readFile(keyFile) }
  await rm(dirname(caFile), { recursive: true })
  const server = createServer(keys, (request, response) => {
    if (request.headers.host === BALANCER_HOST) {
      passOn(request, response, { port: servicePort(request.url?.split('/')[1] ?? ''), hits })
      return
    }
    answer(request.headers.host ?? '', request.url ?? '/')
      .then(({ mime, body }) => response.writeHead(200, headersOf(mime, body)).end(body))
      .catch((error: unknown) => response.writeHead(404, { 'Content-Type': 'text/plain' }).end(String(error)))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    ...{ port: (server.address() as AddressInfo).port, hits },
    forget: () => void hits.splice(0),
    close: () => {
      server.close()
      server.closeAllConnections()
    },
    hitsOf: async (matches, count) => {
      for (const untilMs = performance.now() + HITS_LIMIT_MS; ; await sleep(10)) {
        if (hits.filter(matches).length >= count) break
        if (performance.now() > untilMs)
          throw new Error(`${hits.filter(matches).length} of ${count} hits; all: ${JSON.stringify(hits)}`)
      }
      await sleep(SETTLE_MS)
      return hits.filter(matches)
    },
  }
}

/** As the load balancer does it: the path stays as it is. A hit's path is what is told, without the token. */
function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  { port, hits }: { port: number | undefined; hits: Hit[] },
): void {
  const { url = '/', method, headers } = request
  const sent = openRequest({ host: '127.0.0.1', port, path: url, method, headers }, answer => {
    const [, , ...told] = url.split('?')[0]!.split('/')
    const query = Object.fromEntries(new URL(url, `https://${BALANCER_HOST}`).searchParams)
    hits.push({ host: BALANCER_HOST, path: told.slice(0, 2).join('/'), query, status: answer.statusCode ?? 0 })
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  sent.on('error', error => response.writeHead(502).end(String(error)))
  request.pipe(sent)
}

/** Wrappers are fetched by scripts of another origin, and so allowed by VAST's rules. */
function headersOf(mime: string, body: Buffer) {
  const headers = { 'Content-Type': mime, 'Content-Length': body.length, 'Access-Control-Allow-Origin': '*' }
  return { ...headers, 'Cache-Control': 'no-store' }
}

/** TypeScript goes out without its types, as Node itself runs it. */
async function pageFile(path: string): Promise<WebFile> {
  const file = PAGE_FILES[path] ?? `./page${path}`
  const text = await readFile(new URL(file, import.meta.url), 'utf8')
  const kind = file.slice(file.lastIndexOf('.') + 1)
  return {
    mime: PAGE_MIMES[kind] ?? 'text/plain',
    body: Buffer.from(kind === 'ts' ? stripTypeScriptTypes(text) : text),
  }
}
