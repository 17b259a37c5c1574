/** Opens where a task's money is kept: ledger, events and what plans share, in the remote cache or in files. */
import { randomInt } from 'node:crypto'
import type { Config } from './config.ts'
import type { Clock } from './foundation/clock.ts'
import { type EventStream, FileEventStream, RedisEventStream } from './remote-cache/event-stream.ts'
import { FileLedger } from './remote-cache/file-ledger.ts'
import { FilePlans } from './remote-cache/file-plans.ts'
import { directoryOfUrl } from './remote-cache/file-source.ts'
import { RedisLedger } from './remote-cache/redis-ledger.ts'
import { RedisPlans } from './remote-cache/redis-plans.ts'
import type { Ledger } from './spend/ledger.ts'
import type { PlanBoard } from './spend/plan-board.ts'
import type { TaskLedger } from './spend/task-ledger.ts'

/** A task that is cut off for longer has lost its count, and asks as a new one. */
const REMEMBER_TASK_MS = 24 * 3_600_000

/** What opening needs. */
interface SpendStoreOptions {
  readonly config: Config
  readonly clock: Clock
  readonly url: string
  /** Told of every new connection. */
  readonly task: TaskLedger
}

/** Where the ledger, the event stream and the counts are. */
export function spendUrlOf({ spendUrl, stateUrl }: Pick<Config, 'spendUrl' | 'stateUrl'>): string {
  if (spendUrl !== undefined) return spendUrl
  return stateUrl.startsWith('file:') ? `${stateUrl.replace(/\/+$/, '')}.spend` : stateUrl
}

/** Shared by the tasks of a tenant, or of one task alone. */
export interface SpendStore {
  readonly ledger: Ledger
  readonly stream: EventStream
  readonly board: PlanBoard
  readonly closeLedger: () => Promise<void>
}

/** By the kind of its address. @throws Error of the file system */
export async function openSpendStore(options: SpendStoreOptions): Promise<SpendStore> {
  return options.url.startsWith('file:') ? await openFiles(options) : openCache(options)
}

async function openFiles({ url, clock }: SpendStoreOptions): Promise<SpendStore> {
  const folder = directoryOfUrl(url)
  const ledger = await FileLedger.open(folder, clock)
  const [stream, board] = await Promise.all([FileEventStream.open(folder), FilePlans.open(folder)])
  return { ledger, stream, board, closeLedger: () => ledger.close() }
}

function openCache({ url, config, clock, task }: SpendStoreOptions): SpendStore {
  const { tenantId, cacheTimeoutMs: timeoutMs } = config
  const connection = { url, tenantId, timeoutMs, pickIndex: (count: number) => randomInt(count) }
  const ledger = new RedisLedger({
    ...connection,
    rememberTaskMs: REMEMBER_TASK_MS,
    onConnected: () => task.reconnected(clock.monotonicMs()),
  })
  const board = new RedisPlans(connection)
  const closeLedger = async (): Promise<void> => {
    ledger.close()
    board.close()
  }
  return { ledger, stream: new RedisEventStream(connection), board, closeLedger }
}
