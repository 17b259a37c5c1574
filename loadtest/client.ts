import { Agent, request as httpRequest } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import { loopbackTarget } from './loopback.ts'

/** An answer, or why there is none. */
export type Exchanged =
  | {
      readonly status: number
      readonly headers: Readonly<Record<string, string | undefined>>
      readonly bodyText: string
      readonly latencyUs: number
    }
  | { readonly failure: string }

/** Sends single requests over a few kept connections, for answers that are looked at one by one. */
export class Client {
  readonly #agent: Agent
  readonly #request: typeof httpRequest
  readonly #base: string
  readonly #timeoutMs: number

  /** @throws TargetRefused for a target that is not loopback */
  constructor(url: string, options: { readonly connections: number; readonly timeoutMs: number }) {
    const { isTls } = loopbackTarget(url)
    this.#base = url.replace(/\/$/, '')
    this.#agent = new (isTls ? TlsAgent : Agent)({ keepAlive: true, maxSockets: options.connections })
    this.#request = isTls ? httpsRequest : httpRequest
    this.#timeoutMs = options.timeoutMs
  }

  /** Sends one request to a path below the URL. Never rejects. */
  send(method: 'GET' | 'POST', path: string, body?: Buffer): Promise<Exchanged> {
    const headers = body ? { 'content-type': 'application/json', 'content-length': body.length } : {}
    return new Promise(resolve => {
      const startMs = performance.now()
      const request = this.#request(`${this.#base}${path}`, { method, headers, agent: this.#agent }, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', error => resolve({ failure: error.message }))
        response.on('end', () => {
          const latencyUs = (performance.now() - startMs) * 1e3
          const known: Record<string, string | undefined> = {}
          for (const [name, value] of Object.entries(response.headers)) known[name] = value?.toString()
          const bodyText = Buffer.concat(chunks).toString('utf8')
          resolve({ status: response.statusCode ?? 0, headers: known, bodyText, latencyUs })
        })
      })
      request.setTimeout(this.#timeoutMs, () => request.destroy(new Error(`no answer after ${this.#timeoutMs} ms`)))
      request.on('error', error => resolve({ failure: error.message }))
      request.end(body)
    })
  }

  /** Closes its connections. */
  close(): void {
    this.#agent.destroy()
  }
}

/**
 * A counter with one label, by the label's values, as an admin port tells it; undefined when it does not answer.
 * @param adminUrl such as `http://127.0.0.1:9090`
 * @param name without prefix and suffix, such as `no_bids`
 */
export async function labelledCounts(
  adminUrl: string,
  name: string,
  label: string,
): Promise<ReadonlyMap<string, number> | undefined> {
  const client = new Client(adminUrl, { connections: 1, timeoutMs: 5_000 })
  const answer = await client.send('GET', '/metrics')
  client.close()
  if ('failure' in answer || answer.status !== 200) return undefined
  const counts = new Map<string, number>()
  for (const line of answer.bodyText.split('\n')) {
    if (!line.startsWith(`bidcell_${name}_total{`)) continue
    const value = new RegExp(`\\b${label}="([^"]*)"`).exec(line)?.[1]
    if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + Number(line.slice(line.lastIndexOf(' '))))
  }
  return counts
}

/** What was added between two counts, the most frequent first. */
export function addedCounts(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): readonly (readonly [reason: string, count: number])[] {
  return [...after]
    .map(([reason, count]) => [reason, count - (before.get(reason) ?? 0)] as const)
    .filter(([, count]) => count > 0)
    .sort((a, b) => b[1] - a[1])
}
