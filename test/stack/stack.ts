import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Outcome, run } from './engine.ts'

/** The tenants of compose.yaml. */
export const TENANTS = ['acme-outdoor', 'bluebird-games', 'cinema-now'] as const
/** One of them. */
export type Tenant = (typeof TENANTS)[number]

/** A running stack, as text that can be handed from one process to another. */
export interface Stack {
  readonly dockerHost: string
  /** Compose project: part of the names of its networks. */
  readonly project: string
  /** The proxy's, on 127.0.0.1. */
  readonly port: number
  /** Certificate of the authority that signed the proxy's. */
  readonly caPem: string
}

/** Reads the authority of a stack that was started. Waits for a task to run. */
export async function runningStack(dockerHost: string, at: { project: string; port: number }): Promise<Stack> {
  const stack = { dockerHost, ...at, caPem: '' }
  const { stdout } = await execute(stack, 'acme-outdoor', ['node', '-p', "fs.readFileSync('/trust/ca.crt', 'utf8')"])
  return { ...stack, caPem: stdout }
}

/** @throws Error when the service has no container, running or ended. */
export async function containerId(stack: Stack, service: string): Promise<string> {
  const labels = [`label=com.docker.compose.project=${stack.project}`, `label=com.docker.compose.service=${service}`]
  const filters = labels.flatMap(label => ['--filter', label])
  const { stdout } = await run(stack.dockerHost, ['docker', 'ps', '--all', '--quiet', '--no-trunc', ...filters])
  const [id] = stdout.split('\n')
  if (id === undefined || id === '') throw new Error(`${service} has no container`)
  return id
}

/** Runs a command inside the container of a service. @throws Error when it fails, unless it may. */
export async function execute(
  stack: Stack,
  service: string,
  command: readonly string[],
  options: { readonly mayFail?: true; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const env = Object.entries(options.env ?? {}).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  const exec = ['docker', 'exec', ...env, await containerId(stack, service), ...command]
  return await run(stack.dockerHost, exec, options.mayFail === true ? { mayFail: true } : {})
}

/** Runs JavaScript inside a task, with the task's own environment; it prints one JSON value, which is returned. */
export async function evaluate(stack: Stack, tenant: Tenant, script: string, input: unknown = null): Promise<unknown> {
  const env = { INPUT: JSON.stringify(input) }
  const { stdout } = await execute(stack, tenant, ['node', '--input-type=module', '--eval', script], { env })
  return JSON.parse(stdout)
}

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/**
 * Sends one request through the proxy, over TLS that is verified. The path goes out as it is given, dots and all.
 * @throws Error when there is no answer within 10 s.
 */
export function send(stack: Stack, path: string, body?: unknown): Promise<Answer> {
  const text = body === undefined ? '' : JSON.stringify(body)
  const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': text.length }
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: '127.0.0.1',
        port: stack.port,
        path,
        method: body === undefined ? 'GET' : 'POST',
        headers,
        ca: stack.caPem,
        agent: false,
        timeout: 10_000,
      },
      response => {
        let received = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          received += chunk
        })
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received }),
        )
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer to ${path} within 10 s`)))
    sent.on('error', reject)
    sent.end(text)
  })
}

/** Waits until the proxy sees a tenant's task as ready. @throws Error when it does not within the limit. */
export async function untilReady(stack: Stack, tenant: Tenant, limitMs: number): Promise<void> {
  const until = Date.now() + limitMs
  let last = 'nothing yet'
  while (Date.now() < until) {
    try {
      const answer = await send(stack, `/${tenant}/health/ready`)
      if (answer.status === 200) return
      last = `${answer.status} ${answer.body.slice(0, 400)}`
    } catch (error) {
      last = String(error)
    }
    await sleep(200)
  }
  throw new Error(`${tenant} was not ready within ${limitMs} ms; it answered ${last}`)
}

interface Named {
  readonly id: string
}

/** What the tests know of a tenant's own documents. */
interface TenantFacts {
  readonly exchangeIds: readonly string[]
  readonly domains: readonly string[]
}

/** Reads a sample tenant's documents. */
export function factsOf(tenant: Tenant): TenantFacts {
  const records = <T>(name: string): T[] =>
    JSON.parse(readFileSync(new URL(`../tenants/${tenant}/${name}.json`, import.meta.url), 'utf8')) as T[]
  return {
    exchangeIds: records<Named>('exchanges').map(exchange => exchange.id),
    domains: records<{ domain: string }>('advertisers').map(advertiser => advertiser.domain),
  }
}

const SIZES = [
  [300, 250],
  [320, 50],
  [728, 90],
  [300, 600],
  [160, 600],
  [970, 250],
] as const

/** A bid request with one banner and one video impression, such as any tenant of the stack bids on. */
function bidRequest(id: string): unknown {
  const [a, b, c] = createHash('sha256').update(id).digest()
  return {
    id,
    at: 1,
    tmax: 500,
    cur: ['USD', 'EUR', 'GBP'],
    imp: [
      { id: '1', secure: 1, bidfloor: 0.01, banner: { format: SIZES.map(([w, h]) => ({ w, h })) } },
      {
        id: '2',
        secure: 1,
        bidfloor: 0.01,
        video: {
          mimes: ['video/mp4', 'video/webm'],
          minduration: 5,
          maxduration: 60,
          protocols: [2, 3, 5, 6, 7, 8],
          w: 1280,
          h: 720,
          linearity: 1,
        },
      },
    ],
    // One of many, in a household of many, so that no cap is reached.
    user: { id: `user-of-${id}` },
    site: { id: 'site-1', domain: 'news.example', page: 'https://news.example/today', cat: ['IAB12'] },
    device: {
      ua: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36',
      ip: `10.${a}.${b}.${c}`,
      devicetype: 2,
      os: 'Linux',
      language: 'en',
      geo: { country: 'USA', region: 'CA' },
    },
  }
}

/** Asks a tenant for a bid. @returns the domains of the advertisers that bid, and the answer. */
export async function askForBid(
  stack: Stack,
  tenant: Tenant,
  id: string,
): Promise<{ answer: Answer; domains: readonly string[] }> {
  const answer = await send(stack, `/${tenant}/openrtb2/${factsOf(tenant).exchangeIds[0]}`, bidRequest(id))
  if (answer.status !== 200) return { answer, domains: [] }
  const response = JSON.parse(answer.body) as { seatbid?: { bid: { adomain: string[] }[] }[] }
  const bids = (response.seatbid ?? []).flatMap(seat => seat.bid)
  return { answer, domains: bids.flatMap(bid => bid.adomain) }
}
