import autocannon from 'autocannon'
import { Histogram } from './histogram.ts'
import { loopbackTarget } from './loopback.ts'

/** A closed loop: every connection sends its next request when it has its answer. */
export interface CapacityOptions {
  readonly url: string
  readonly requests: readonly { readonly path: string; readonly body: Buffer }[]
  readonly connections: number
  readonly durationS: number
  readonly timeoutS: number
}

/** What a service answers when it is never given rest. Latencies of a closed loop say little; see open-loop.ts. */
export interface CapacityResult {
  readonly answersPerS: number
  readonly latencyUs: Histogram
  readonly statuses: Readonly<Record<string, number>>
  readonly errors: number
  readonly timeouts: number
  /** CPU time of this process ÷ wall time: near 1 the generator, not the service, was the limit. */
  readonly ownCpuShare: number
}

/**
 * Measures capacity with autocannon. Its own histogram knows only whole milliseconds and no timeouts, so each response
 * is recorded here in µs; a rate is never set, because it sends a second's quota at once. Rejects for a bad target.
 */
export async function measureCapacity(options: CapacityOptions): Promise<CapacityResult> {
  const { host } = loopbackTarget(options.url)
  const latencyUs = new Histogram()
  const statuses: Record<string, number> = {}
  const headers = { 'content-type': 'application/json', 'x-openrtb-version': '2.6' }
  const requests = options.requests.map(({ path, body }) => ({ method: 'POST' as const, path, body, headers }))
  let client = 0
  const cpuBefore = process.cpuUsage()
  const startMs = performance.now()
  const settings: autocannon.Options = {
    url: `http://${host}`,
    connections: options.connections,
    duration: options.durationS,
    timeout: options.timeoutS,
    // Made for every connection before it gets its own.
    requests: requests.slice(0, 1),
    // Each connection has its own part of the list, or all would send the same request at the same time. Autocannon
    // makes each connection's requests anew, which takes seconds for the whole list in all of them.
    setupClient: each => {
      const at = (part: number) => Math.floor((part / options.connections) * requests.length)
      const own = requests.slice(at(client), at(client + 1))
      client++
      each.setRequests(own.length === 0 ? [...requests] : own)
    },
  }
  const result = await new Promise<autocannon.Result>((resolve, reject) => {
    const running = autocannon(settings, (error: unknown, found) => {
      if (error) reject(error instanceof Error ? error : new Error(String(error)))
      else resolve(found)
    })
    running.on('response', (_client, status, _bytes, responseMs) => {
      statuses[status] = (statuses[status] ?? 0) + 1
      latencyUs.record(responseMs * 1e3)
    })
  })
  const wallS = (performance.now() - startMs) / 1e3
  const cpu = process.cpuUsage(cpuBefore)
  return {
    answersPerS: latencyUs.count / wallS,
    latencyUs,
    statuses,
    errors: result.errors,
    timeouts: result.timeouts,
    ownCpuShare: (cpu.user + cpu.system) / 1e6 / wallS,
  }
}
