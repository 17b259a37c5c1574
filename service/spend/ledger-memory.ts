/**
 * The ledger's rules as a synchronous value in memory: what the scripts of the remote cache do, in our own words. The
 * embedded ledger and the simulator run it; a random test holds the scripts against it.
 */
import { assert } from '../foundation/assert.ts'
import {
  ABANDONED_NAMED_MAX,
  type AbandonedLease,
  type BookOperation,
  type Caller,
  type Done,
  type HelloOperation,
  LEASING_HEARD_MS,
  type LeaseChange,
  type LeaseOperation,
  type Refused,
  type SettleOperation,
  type TasksHeard,
  type Witness,
} from './ledger.ts'

const FORGOTTEN_AT_ONCE = 8

/** One account. Its total spend is base + booked; `late` and `excess` are the parts of it that no lease covered. */
export interface Account {
  /** Spend of earlier epochs, as witnesses were told it. */
  baseNanos: number
  bookedNanos: number
  /** Permission that is out: of every lease its amount less what was booked on it in time. */
  leasedNanos: number
  /** Booked after its bucket was closed. */
  lateNanos: number
  /** Booked in time beyond the lease's amount: smooth budgets hold less than the full price. */
  excessNanos: number
  /** Booked at the most that was bid, because the price could not be read or was above it. */
  flaggedNanos: number
  bookings: number
}

/** One lease. */
export interface LeaseRecord {
  readonly accounts: readonly string[]
  amountNanos: number
  /** Booked in time, all buckets. */
  bookedNanos: number
  /** Of that, in closed buckets. */
  closedNanos: number
  closedThrough: number
  readonly buckets: Map<number, number>
  readonly abandonedMs: number
}

/** All of a ledger's memory. Plain, so that it can be copied and compared. */
export interface LedgerState {
  epoch: string
  /** The ledger's own time, and the wall clock when it was last looked at; see turnLedgerClock. */
  atMs: number
  wallMs: number
  /** In the ledger's own time, like all instants but those of keys. */
  opensMs: number
  /** For bookings. */
  booksMs: number
  readonly accounts: Map<string, Account>
  readonly leases: Map<string, LeaseRecord>
  /** Booked keys, with the instant at which they are forgotten. */
  readonly keys: Map<string, number>
  readonly counts: Map<string, number>
  /** Tasks that have leased and did not leave, with the instant at which they were last heard. */
  readonly leasing: Map<string, number>
  /** How often tasks have vouched. */
  vouches: number
  /** No lease is abandoned before; undefined where nobody has looked yet. */
  abandonedFromMs?: number | undefined
}

/** A ledger without memory. */
export function emptyLedger(): LedgerState {
  const maps = { accounts: new Map(), leases: new Map(), keys: new Map(), counts: new Map() }
  return { epoch: '', atMs: 0, wallMs: 0, opensMs: 0, booksMs: 0, vouches: 0, leasing: new Map(), ...maps }
}

/** A wall clock that jumps forward moves the ledger's time by no more than this, one that jumps back not at all. */
export const CLOCK_STEP_MS_MAX = 10_000

/** No lease is abandoned because a clock was set: between two operations the ledger's time moves by a bounded step. */
function turnLedgerClock(state: LedgerState, wallMs: number): void {
  if (state.wallMs > 0) state.atMs += Math.min(CLOCK_STEP_MS_MAX, Math.max(0, wallMs - state.wallMs))
  state.wallMs = wallMs
}

/** Total spend of an account, in nanos. */
export function spentNanos({ baseNanos, bookedNanos }: Account): number {
  return baseNanos + bookedNanos
}

/** The account, which is made when it is not there yet. */
function accountOf(state: LedgerState, name: string): Account {
  const found = state.accounts.get(name)
  if (found !== undefined) return found
  const made = {
    baseNanos: 0,
    bookedNanos: 0,
    leasedNanos: 0,
    lateNanos: 0,
    excessNanos: 0,
    flaggedNanos: 0,
    bookings: 0,
  }
  state.accounts.set(name, made)
  return made
}

/** Applies one operation. Changes the state. @param wallMs may jump. Cost: O(accounts + open buckets). */
export function applyToLedger(
  state: LedgerState,
  caller: Caller,
  operation: LeaseChange,
  wallMs: number,
): Done | Refused {
  turnLedgerClock(state, wallMs)
  const count = counted(state, caller, 1, state.opensMs)
  if (typeof count !== 'number') return count
  const done = { kind: 'done', count, leftNanos: 0, abandoned: [] } as const
  if (operation.kind === 'lease') {
    const granted = grant(state, operation)
    if (granted.nanos > 0) state.leasing.set(caller.task, state.atMs)
    const names = operation.accounts.map(({ account }) => account)
    return { ...done, ...granted, spentNanos: totals(state, names), abandoned: abandonedLeases(state) }
  }
  if (operation.kind === 'hello') return { ...done, nanos: 0, spentNanos: [], heard: hear(state, caller, operation) }
  return { ...done, nanos: settle(state, operation), spentNanos: totals(state, operation.accounts) }
}

/** Books all of them, see Ledger. Changes the state. @param wallMs may jump. Cost: O(bookings × accounts). */
export function bookInLedger(
  state: LedgerState,
  caller: Caller,
  bookings: readonly BookOperation[],
  wallMs: number,
): readonly Done[] | Refused {
  turnLedgerClock(state, wallMs)
  const last = counted(state, caller, bookings.length, state.booksMs)
  if (typeof last !== 'number') return last
  const uncovered = bookings.map(booking => book(state, booking, wallMs))
  return bookings.map(({ accounts }, i) => {
    const count = last - bookings.length + 1 + i
    const nanos = uncovered[i] as number
    return { kind: 'done', count, nanos, spentNanos: totals(state, accounts), leftNanos: 0, abandoned: [] }
  })
}

/** Counts operations of a task. @returns its count after them, unless they are refused */
function counted(state: LedgerState, caller: Caller, operations: number, opensMs: number): number | Refused {
  if (state.epoch === '' || caller.epoch !== state.epoch) return { kind: 'lost', epoch: state.epoch }
  if (state.atMs < opensMs) return { kind: 'rebuilding', opensInMs: opensMs - state.atMs }
  const count = state.counts.get(caller.task) ?? 0
  if (count < caller.told) return { kind: 'behind', count }
  state.counts.set(caller.task, count + operations)
  return count + operations
}

function totals(state: LedgerState, accounts: readonly string[]): number[] {
  return accounts.map(name => spentNanos(accountOf(state, name)))
}

function grant(state: LedgerState, operation: LeaseOperation): Pick<Done, 'nanos' | 'leftNanos'> {
  const { lease, accounts, wantedNanos, leastNanos, abandonedAfterMs, again } = operation
  let left = Number.MAX_SAFE_INTEGER
  for (const { account: name, limitNanos } of accounts) {
    const account = accountOf(state, name)
    left = Math.min(left, limitNanos - spentNanos(account) - account.leasedNanos)
  }
  const known = state.leases.get(lease)
  if (known !== undefined) return { nanos: known.amountNanos, leftNanos: Math.max(0, left) }
  const nanos = again ? wantedNanos : Math.min(wantedNanos, left)
  if (nanos <= 0 || (!again && nanos < leastNanos)) return { nanos: 0, leftNanos: Math.max(0, left) }
  for (const { account } of accounts) accountOf(state, account).leasedNanos += nanos
  state.leases.set(lease, {
    accounts: accounts.map(({ account }) => account),
    amountNanos: nanos,
    bookedNanos: 0,
    closedNanos: 0,
    closedThrough: 0,
    buckets: new Map(),
    abandonedMs: state.atMs + abandonedAfterMs,
  })
  if (state.abandonedFromMs !== undefined)
    state.abandonedFromMs = Math.min(state.abandonedFromMs, state.atMs + abandonedAfterMs)
  return { nanos, leftNanos: Math.max(0, left - nanos) }
}

function hear(state: LedgerState, { task }: Caller, { is }: HelloOperation): TasksHeard {
  for (const [name, atMs] of state.leasing) if (atMs < state.atMs - LEASING_HEARD_MS) state.leasing.delete(name)
  if (is === 'vouching') state.vouches++
  if (is === 'leaving') state.leasing.delete(task)
  else if (state.leasing.has(task)) state.leasing.set(task, state.atMs)
  return { vouches: state.vouches, leasing: state.leasing.size - (state.leasing.has(task) ? 1 : 0) }
}

/** Leases that anyone may return, the longest abandoned first. Cost: O(leases) while there are any. */
function abandonedLeases(state: LedgerState): AbandonedLease[] {
  if (state.abandonedFromMs !== undefined && state.atMs < state.abandonedFromMs) return []
  state.abandonedFromMs = Number.POSITIVE_INFINITY
  for (const { abandonedMs } of state.leases.values())
    state.abandonedFromMs = Math.min(state.abandonedFromMs, abandonedMs)
  return [...state.leases]
    .filter(([, { abandonedMs }]) => abandonedMs <= state.atMs)
    .sort(([, left], [, right]) => left.abandonedMs - right.abandonedMs)
    .slice(0, ABANDONED_NAMED_MAX)
    .map(([lease, { accounts }]) => ({ lease, accounts }))
}

/** Of a lease, the permission that is still out. */
function openNanos({ amountNanos, bookedNanos }: LeaseRecord): number {
  return Math.max(0, amountNanos - bookedNanos)
}

function settle(state: LedgerState, { lease, closedThrough, amountNanos }: SettleOperation): number {
  const record = state.leases.get(lease)
  if (record === undefined) return -1
  const before = openNanos(record)
  record.closedThrough = Math.max(record.closedThrough, closedThrough)
  for (const [bucket, nanos] of record.buckets) {
    if (bucket > record.closedThrough) continue
    record.closedNanos += nanos
    record.buckets.delete(bucket)
  }
  record.amountNanos = Math.min(record.amountNanos, amountNanos)
  const after = openNanos(record)
  for (const name of record.accounts) accountOf(state, name).leasedNanos -= before - after
  // All is closed and nothing is out: whatever comes is late, which is what a missing lease means.
  if (record.buckets.size === 0 && after === 0 && record.closedThrough >= Number.MAX_SAFE_INTEGER)
    state.leases.delete(lease)
  return record.closedNanos
}

function book(state: LedgerState, operation: BookOperation, wallMs: number): number {
  const { key, lease, bucket, accounts, tallies = [], amountNanos, isFlagged = false, rememberMs } = operation
  assert(Number.isSafeInteger(amountNanos) && amountNanos >= 0, 'an amount is whole nanos', { amountNanos })
  if ((state.keys.get(key) ?? 0) > wallMs) return -1
  state.keys.delete(key)
  state.keys.set(key, wallMs + rememberMs)
  forgetKeys(state, wallMs)
  const record = state.leases.get(lease)
  const inTime = record !== undefined && bucket > record.closedThrough
  let covered = 0
  if (inTime) {
    covered = Math.min(amountNanos, openNanos(record))
    record.bookedNanos += amountNanos
    record.buckets.set(bucket, (record.buckets.get(bucket) ?? 0) + amountNanos)
  }
  const uncovered = lease === '' ? 0 : amountNanos - covered
  for (const name of [...accounts, ...tallies]) {
    const account = accountOf(state, name)
    account.bookedNanos += amountNanos
    account.bookings++
    if (isFlagged) account.flaggedNanos += amountNanos
  }
  for (const name of accounts) {
    const account = accountOf(state, name)
    account.leasedNanos -= covered
    if (inTime) account.excessNanos += uncovered
    else account.lateNanos += uncovered
  }
  return uncovered
}

/** Forgets some of the oldest keys whose time is over: more than are added, so that they cannot pile up. */
function forgetKeys(state: LedgerState, wallMs: number): void {
  let looked = 0
  for (const [key, untilMs] of state.keys) {
    if (untilMs > wallMs || ++looked > FORGOTTEN_AT_ONCE) return
    state.keys.delete(key)
  }
}

/** Takes what a task knows into a ledger that has lost its memory. Changes the state. Cost: O(witness). */
export function rebuildLedger(
  state: LedgerState,
  witness: Witness,
  wallMs: number,
): { epoch: string; opensInMs: number } {
  turnLedgerClock(state, wallMs)
  if (state.epoch === '' || state.epoch === witness.lostEpoch) {
    state.epoch = witness.newEpoch
    state.opensMs = state.atMs + witness.opensAfterMs
    state.booksMs = state.atMs + witness.booksAfterMs
    state.counts.clear()
    // An older memory: its totals are one more witness, and its leases are out until they are abandoned.
    for (const account of state.accounts.values()) {
      account.baseNanos += account.bookedNanos
      account.bookedNanos = 0
    }
  }
  for (const [name, nanos] of witness.spent) {
    const account = accountOf(state, name)
    account.baseNanos = Math.max(account.baseNanos, nanos)
  }
  for (const [key, rememberMs] of witness.keys)
    state.keys.set(key, Math.max(state.keys.get(key) ?? 0, wallMs + rememberMs))
  for (const { lease, accounts, heldNanos, closedThrough, abandonedAfterMs } of witness.leases) {
    if (heldNanos <= 0 || state.leases.has(lease)) continue
    for (const name of accounts) accountOf(state, name).leasedNanos += heldNanos
    state.leases.set(lease, {
      accounts,
      amountNanos: heldNanos,
      bookedNanos: 0,
      closedNanos: 0,
      closedThrough,
      buckets: new Map(),
      abandonedMs: state.atMs + abandonedAfterMs,
    })
  }
  return { epoch: state.epoch, opensInMs: Math.max(0, state.opensMs - state.atMs) }
}
