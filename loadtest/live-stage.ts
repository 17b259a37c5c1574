/**
 * A tenant under live traffic, for benchmarks of its state: a real Redis, the real service with one bid thread, an open
 * loop at a modest rate. Bid thread and generator have one core; everything else has the other, as in a task whose
 * BID_THREADS leave the control thread a core. On a core that both share, a wake-up waits for the end of the other's
 * slice (3 ms on Linux), whatever the two do.
 */
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { DOCUMENT_KIND_NAMES, type TenantDocuments } from '../service/state/documents.ts'
import { type RedisServer, startRedis } from '../test/redis-server.ts'
import { benchTraffic } from './bench-workload.ts'
import { canPin } from './cpu.ts'
import { GeneratorProcess } from './generator-process.ts'
import { type ServiceProcess, startService } from './service-process.ts'
import { ratesOf } from './tenant-records.ts'

/** Whose state it is. */
export const TENANT = 'bench-tenant'
/** Of everything that is drawn. */
export const SEED = 20_261_121
/** The longest that a load of a version may take. */
export const LOAD_TIMEOUT_MS = 120_000
/** What live changes of state may cost bids, as a ratio of their 99th percentiles. */
export const P99_RATIO_MAX = 1.2
const REQUESTS = 2_000
/** As docker/Dockerfile sets it. */
const IMAGE_ENV = { NODE_ENV: 'production', MALLOC_MMAP_THRESHOLD_: '1048576' } as const
const WARM_UP_S = 20
const WARM_UP_PER_S = 1_500
/** Of the bid thread and the generator; and of the control thread, what helps it, and Redis. */
const BID_CORE = '0'
const OTHER_CORE = '1'

/** The records of a tenant as a publisher wants them. */
export function* recordsOf(documents: TenantDocuments) {
  for (const kind of DOCUMENT_KIND_NAMES) {
    const values: readonly unknown[] = [documents[kind]].flat()
    for (const [record, value] of values.entries()) yield { kind, value, where: { file: kind, record } }
  }
}

/** What a benchmark of the state works with. */
export interface LiveStage {
  readonly server: RedisServer
  readonly redis: Redis
  /** Starts the service once its state is published. */
  startService(): Promise<ServiceProcess>
  /** Bid requests until the thread's code is compiled and its heap has its size: both go on for 20,000 and more. */
  warmUp(service: ServiceProcess): Promise<unknown>
  /** Bid requests for so long. */
  load(service: ServiceProcess, durationS: number, seed: number): ReturnType<GeneratorProcess['openLoop']>
  close(): Promise<void>
}

/** Starts Redis and a generator of bid requests. This process and what it starts stay on their core. */
export async function startLiveStage(documents: TenantDocuments, ratePerS: number): Promise<LiveStage> {
  if (canPin(OTHER_CORE)) spawnSync('taskset', ['-apc', OTHER_CORE, String(process.pid)], { stdio: 'ignore' })
  const folder = await mkdtemp(join(tmpdir(), 'bidcell-live-'))
  const server = await startRedis()
  const redis = new Redis(server.url)
  const generator = new GeneratorProcess({ cpus: BID_CORE, precedence: 'urgent' })
  const exchange = documents.exchanges[0]?.id ?? ''
  const file = join(folder, 'requests.ndjson')
  const drawn = benchTraffic(documents, REQUESTS, SEED).filter(request => request.exchange === exchange)
  await writeFile(file, drawn.map(({ body }) => `${body.toString()}\n`).join(''))
  await generator.load({ kind: 'recorded', file, exchange })
  const run = (service: ServiceProcess, durationS: number, seed: number, rate: number) =>
    generator.openLoop({
      ...{ url: service.url, arrivals: 'poisson', ratePerS: rate, durationS, seed },
      ...{ connectionsMax: 64, timeoutMs: 5_000, check: { judgeEvery: 1_000, rates: ratesOf(documents) } },
    })
  return {
    server,
    redis,
    startService: async () => {
      const service = await startService({
        env: { TENANT_ID: TENANT, STATE_URL: server.url, BID_THREADS: '1', ...IMAGE_ENV },
        readyTimeoutMs: LOAD_TIMEOUT_MS,
        // As the generator: else it takes the core in the middle of an answer, and so does whoever else is here.
        precedence: 'urgent',
      })
      pinThreads(service.pid)
      return service
    },
    warmUp: service => run(service, WARM_UP_S, 0, WARM_UP_PER_S),
    load: (service, durationS, seed) => run(service, durationS, seed, ratePerS),
    close: async () => {
      generator.stop()
      redis.disconnect()
      await server.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

/** The bid thread is the only worker of a service that does not load. Does nothing where threads cannot be pinned. */
function pinThreads(pid: number): void {
  if (!canPin(BID_CORE) || !canPin(OTHER_CORE)) return
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const isWorker = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim() === 'WorkerThread'
    spawnSync('taskset', ['-pc', isWorker ? BID_CORE : OTHER_CORE, tid], { stdio: 'ignore' })
  }
}
