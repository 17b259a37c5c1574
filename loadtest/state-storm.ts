/** Changes of a tenant while it serves: one whole version after the other, or single records without a pause. */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Placement, placed } from './cpu.ts'
import type { SharedRedis, Stage } from './stage.ts'
import { readTenantRecords } from './tenant-records.ts'

/** What comes again and again, in words of a step's name. */
export const STORMS = ['catalog swaps', 'changes of line items'] as const
/** One of them. */
export type StormKind = (typeof STORMS)[number]

/** Whose state changes. */
export interface StormTarget {
  readonly stage: Stage
  readonly redis: SharedRedis
  readonly tenantId: string
  readonly directory: string
}

/** A storm that goes on until it is stopped. */
export interface Storm {
  /** Ends it, after what is under way. */
  stop(): Promise<void>
}

const PLACEMENT: Placement = { cpus: '1', precedence: 'idle' }
const BETWEEN_SWAPS_MS = 500
const BETWEEN_CHANGES_MS = 20

/** Starts it; swaps are of the same documents, changes move prices by a tenth. */
export function startStorm(kind: StormKind, target: StormTarget): Storm {
  const signal = { isOver: false }
  const done = kind === 'catalog swaps' ? swap(target, signal) : change(target, signal)
  return {
    stop: () => {
      signal.isOver = true
      return done
    },
  }
}

interface Signal {
  isOver: boolean
}

async function swap({ stage, redis, tenantId, directory }: StormTarget, signal: Signal): Promise<void> {
  while (!signal.isOver) {
    await stage.publish(redis, tenantId, directory, PLACEMENT)
    await sleep(BETWEEN_SWAPS_MS)
  }
}

/** One publisher takes the changes as lines, and publishes each as it comes. */
async function change({ redis, tenantId, directory }: StormTarget, signal: Signal): Promise<void> {
  const { lineItems } = await readTenantRecords(directory)
  const file = fileURLToPath(new URL('../service/commands/publish.ts', import.meta.url))
  const args = ['--changes', '-', '--to', redis.urlOf(tenantId, 'publisher'), '--tenant', tenantId]
  const [command, ...rest] = placed([process.execPath, file, ...args], PLACEMENT)
  const child = spawn(command ?? process.execPath, rest, { stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = new Promise<number | null>(resolve => child.once('close', resolve))
  for (let i = 0; !signal.isOver && child.exitCode === null; i++) {
    const lineItem = lineItems[i % lineItems.length]
    if (lineItem === undefined) break
    const { price } = lineItem
    const cpm = i % 2 === 0 ? price.cpm : Math.round(price.cpm * 110) / 100
    child.stdin.write(`${JSON.stringify({ put: 'lineItems', record: { ...lineItem, price: { ...price, cpm } } })}\n`)
    await sleep(BETWEEN_CHANGES_MS)
  }
  child.stdin.end()
  const code = await ended
  if (code !== 0) throw new Error(`publishing changes ended with ${code}`)
}
