/**
 * What `npm start` sends to its sample tenant, so that there is something to see: bid requests drawn from the tenant's
 * documents, and what follows from bids: wins, bills, impressions, clicks and losses, a few of them late or twice. Runs
 * until the process that started it ends it, or is gone.
 */
import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Random } from '../service/foundation/random.ts'
import { postRequest } from './http-response.ts'
import { loopbackTarget } from './loopback.ts'
import { MockExchange } from './mock-exchange.ts'
import { runOpenLoop } from './open-loop.ts'
import { readTenantRecords } from './tenant-records.ts'
import { drawRequest, newTrafficPools } from './traffic.ts'
import type { WorkloadRequest } from './workload.ts'

/** One round: gentle waves. A new one reads the documents again, and its exchange forgets what it sold before. */
const [CALM, BUSY] = [
  { ratePerS: 5, durationS: 10 },
  { ratePerS: 10, durationS: 10 },
]
const REQUESTS = 500
/** Few enough that some meet their frequency caps. */
const USERS = 5_000
const CONNECTIONS = 4
const TIMEOUT_MS = 2_000
const RETRY_MS = 2_000

interface Drawn {
  readonly id: string
  readonly imp: readonly object[]
}

/** Its id says what it is. Notices go to a plain address of this machine, which no secure page would call. */
function asSample(request: Drawn, mark: string): Drawn {
  return { ...request, id: `${mark}-${request.id}`, imp: request.imp.map(each => ({ ...each, secure: 0 })) }
}

/** @param url the tenant's path at the service @param directory its documents */
async function playRound(url: string, directory: string, seed: number): Promise<void> {
  const records = await readTenantRecords(directory)
  const pools = newTrafficPools(records, undefined)
  const random = new Random(seed)
  const { host } = loopbackTarget(url)
  const workload = Array.from({ length: REQUESTS }, (_, index): WorkloadRequest => {
    const { exchange, request } = drawRequest(pools, random, { index, users: USERS })
    const body = Buffer.from(JSON.stringify(asSample(request as Drawn, `sample-${seed.toString(36)}`)))
    return { exchange, body, malformed: false, source: `drawn ${index}` }
  })
  const exchange = new MockExchange({ url, records, seed })
  const path = (name: string) => `${new URL(url).pathname}/openrtb2/${encodeURIComponent(name)}`
  await runOpenLoop({
    ...{ url, connectionsMax: CONNECTIONS, connectionsAtStart: 1, timeoutMs: TIMEOUT_MS },
    requests: workload.map(each => postRequest({ host, path: path(each.exchange) }, each.body)),
    ...{ arrivals: 'poisson', seed, ...CALM, laterSteps: [BUSY, CALM, BUSY, CALM, BUSY] },
    onAnswer: (response, index) => exchange.look(response, workload[index] as WorkloadRequest),
  })
  // What is told late is told while the next round runs.
  void exchange.end()
}

process.on('disconnect', () => process.exit(0))
const [url = '', directory = ''] = process.argv.slice(2)
for (;;)
  try {
    await playRound(url, directory, randomInt(2 ** 32))
  } catch {
    // The service has gone for a moment, or a document is being written.
    await sleep(RETRY_MS)
  }
