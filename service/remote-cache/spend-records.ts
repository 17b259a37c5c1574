/** What finance reads of the ledger and the event stream. Reading changes nothing; it is no part of the service. */
import type { Redis } from 'ioredis'
import { type AccountName, accountName } from '../spend/accounts.ts'
import { eventStreamKey, spendPrefix } from './layout.ts'

/** One account, in nanos of the ledger currency. `late`, `excess` and `flagged` are parts of `spent`. */
export interface SpendRecord extends AccountName {
  readonly spentNanos: number
  readonly lateNanos: number
  readonly excessNanos: number
  readonly flaggedNanos: number
  readonly leasedNanos: number
  readonly bookings: number
  /** Of the last lease; undefined where nothing was leased for a budget. */
  readonly limitNanos: number | undefined
  /** Of this ledger's share what went to others, a part of `spent`, and what came from others above the limit. */
  readonly givenNanos: number
  readonly addedNanos: number
}

const ACCOUNTS_PER_TRIP = 1_000
const EVENTS_PER_TRIP = 2_000

/**
 * All accounts of a day, or all totals without one, ordered by kind and spend.
 * @param day whole days since 1970; two months back, then they are gone
 * @throws Error of the client. Cost: O(accounts).
 */
export async function spendRecords(redis: Redis, tenantId: string, day: number | undefined): Promise<SpendRecord[]> {
  const prefix = spendPrefix(tenantId)
  const names = await redis.smembers(`${prefix}accounts${day === undefined ? '' : `:${day}`}`)
  const records: SpendRecord[] = []
  for (let from = 0; from < names.length; from += ACCOUNTS_PER_TRIP) {
    const some = names.slice(from, from + ACCOUNTS_PER_TRIP)
    const fields = await Promise.all(some.map(name => redis.hgetall(`${prefix}account:${name}`)))
    fields.forEach((found, i) => {
      const named = accountName(some[i] as string)
      if (named !== undefined) records.push({ ...named, ...amountsOf(found) })
    })
  }
  return records.sort((a, b) => (a.kind === b.kind ? b.spentNanos - a.spentNanos : a.kind < b.kind ? -1 : 1))
}

function amountsOf(fields: Readonly<Record<string, string>>): Omit<SpendRecord, keyof AccountName> {
  const number = (name: string) => Number(fields[name] ?? 0)
  return {
    spentNanos: number('base') + number('booked'),
    lateNanos: number('late'),
    excessNanos: number('excess'),
    flaggedNanos: number('flagged'),
    leasedNanos: number('leased'),
    bookings: number('count'),
    limitNanos: fields.limit === undefined ? undefined : number('limit'),
    givenNanos: number('given'),
    addedNanos: number('added'),
  }
}

/** What the event stream holds. */
export interface EventSummary {
  /** Different events by kind. */
  readonly kinds: ReadonlyMap<string, number>
  /** Losses by OpenRTB's reason code; '' where the exchange named none. */
  readonly losses: ReadonlyMap<string, number>
  /** Entries that repeat an event. */
  readonly repeated: number
  /** Numbers between the first and the last of each task that are not there: events that were lost. */
  readonly missing: number
  readonly tasks: number
}

/** Reads the whole stream. @throws Error of the client. Cost: O(events), which the stream bounds. */
export async function eventSummary(redis: Redis, tenantId: string): Promise<EventSummary> {
  const kinds = new Map<string, number>()
  const losses = new Map<string, number>()
  const keys = new Set<string>()
  const numbers = new Map<string, Set<number>>()
  let repeated = 0
  for await (const { key, kind, task, number, lossReason } of tenantEvents(redis, tenantId)) {
    const known = numbers.get(task)
    if (known === undefined) numbers.set(task, new Set([Number(number)]))
    else known.add(Number(number))
    if (keys.has(key)) {
      repeated++
      continue
    }
    keys.add(key)
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    if (kind === 'loss') losses.set(lossReason, (losses.get(lossReason) ?? 0) + 1)
  }
  const missing = [...numbers.values()].reduce((sum, seen) => sum + gapsIn(seen), 0)
  return { kinds, losses, repeated, missing, tasks: numbers.size }
}

const OF_TASK = { key: '', kind: '', task: '', number: '' }
const OF_BID = { bid: '', campaign: '', lineItem: '', exchange: '', lossReason: '', minToWin: '' }
const READ = { ...OF_TASK, ...OF_BID }

/** All events of the stream, repeated ones included; '' for what one does not say. Cost: O(events), in many trips. */
export async function* tenantEvents(redis: Redis, tenantId: string): AsyncGenerator<Readonly<typeof READ>> {
  for (let after = '-'; ; ) {
    const entries = await redis.xrange(eventStreamKey(tenantId), after, '+', 'COUNT', EVENTS_PER_TRIP)
    for (const [, fields] of entries) yield named(fields)
    const last = entries.at(-1)?.[0]
    if (last === undefined || entries.length < EVENTS_PER_TRIP) return
    after = `(${last}`
  }
}

function named(fields: readonly string[]): typeof READ {
  const found = { ...READ }
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] as keyof typeof found
    if (name in found) found[name] = fields[i + 1] as string
  }
  return found
}

function gapsIn(numbers: ReadonlySet<number>): number {
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const number of numbers) {
    least = Math.min(least, number)
    greatest = Math.max(greatest, number)
  }
  return greatest - least + 1 - numbers.size
}
