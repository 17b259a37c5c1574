/**
 * One task's side of the ledger: operations one after another, each sent until its answer comes, and what brings a
 * ledger forward that has lost some or all of its memory. Synchronous: whoever drives it sends what `next` says.
 */
import { LIMITS } from '../limits.ts'
import type { Lease } from './lease.ts'
import {
  ALL_BUCKETS,
  type BookOperation,
  type Caller,
  type Done,
  type LeaseOperation,
  type Operation,
  type Refused,
  type Witness,
} from './ledger.ts'

/** What a task decides about its side of the ledger, once. */
export interface TaskLedgerOptions {
  /** Distinct for every start of every task. */
  readonly task: string
  /** A name that no epoch ever had. */
  readonly newEpoch: () => string
  readonly graceMs: number
  /** See Witness. */
  readonly opensAfterMs: number
  readonly abandonedAfterMs: number
  /** All leases of the task that are not returned. */
  readonly leases: () => readonly Lease[]
}

/** What to send next. */
export type ToSend =
  | { readonly kind: 'apply'; readonly caller: Caller; readonly operation: Operation }
  | { readonly kind: 'rebuild'; readonly witness: Witness }

/** Told once what became of an operation; undefined when it was withdrawn and has to be thought over. */
export type WhenDone = (answer: Done | undefined) => void

interface Waiting {
  readonly operation: Operation
  readonly done: WhenDone
}

interface Applied {
  readonly count: number
  readonly operation: LeaseOperation | BookOperation
}

/** A settlement of no lease. */
const HELLO = { kind: 'settle', lease: 'hello', accounts: [], closedThrough: 0, amountNanos: 0 } as const

/** Operations of one task. Every method changes it. */
export class TaskLedger {
  readonly #options: TaskLedgerOptions
  #epoch = ''
  #told = 0
  #isLost = true
  #waiting: Waiting[] = []
  /** What a ledger that went back in time must be told again, oldest first. */
  #applied: Applied[] = []
  /** Count of the last one that is no longer kept. */
  #notKeptThrough = 0
  readonly #spent = new Map<string, number>()
  #closesFromMs = Number.NEGATIVE_INFINITY

  constructor(options: TaskLedgerOptions) {
    this.#options = options
  }

  /** Operations that wait for their answer. */
  get waitingCount(): number {
    return this.#waiting.length
  }

  /** The total of an account, as it was last told; 0 for one that was never asked about. */
  spentNanos(account: string): number {
    return this.#spent.get(account) ?? 0
  }

  /** Whether to lease and to close buckets: not while other tasks may still have to repeat what a ledger forgot. */
  mayClose(nowMs: number): boolean {
    return nowMs >= this.#closesFromMs
  }

  /** Adds an operation, which is sent until it is answered. A settlement may be withdrawn. */
  add(operation: Operation, done: WhenDone): void {
    this.#waiting.push({ operation, done })
  }

  /** What to send now; the same again until it was answered. undefined when there is nothing to say. */
  next(nowMs: number): ToSend | undefined {
    if (this.#isLost) return { kind: 'rebuild', witness: this.#witness() }
    const untilCalmMs = this.#closesFromMs - nowMs
    const { graceMs } = this.#options
    const operation = this.#waiting.find(waiting => isInTurn(waiting.operation, untilCalmMs, graceMs))?.operation
    if (operation === undefined) return undefined
    const caller = { task: this.#options.task, epoch: this.#epoch, told: this.#told }
    return { kind: 'apply', caller, operation }
  }

  /** Takes the answer to the operation that `next` gave; too late for one that was withdrawn, it says nothing. */
  answered(operation: Operation, answer: Done | Refused, nowMs: number): void {
    const at = this.#waiting.findIndex(each => each.operation === operation)
    if (at < 0) return
    if (answer.kind === 'lost') this.#lose(nowMs)
    else if (answer.kind === 'behind') this.#repeatAfter(answer.count, nowMs)
    else if (answer.kind === 'done') this.#take(at, answer, nowMs)
    else this.#quiet(nowMs + answer.opensInMs)
  }

  /** Takes the answer to a rebuild. */
  rebuilt(epoch: string): void {
    this.#epoch = epoch
    this.#told = 0
    this.#applied = []
    this.#notKeptThrough = 0
    this.#spent.clear()
    this.#isLost = false
  }

  /**
   * A new connection: the ledger behind it may have forgotten what other tasks did. They have the grace to repeat it
   * before this task leases or closes a bucket; a settlement that waits was made before that and is made anew.
   */
  reconnected(nowMs: number): void {
    this.#quiet(nowMs)
    const withdrawn = this.#waiting.filter(({ operation }) => operation.kind === 'settle')
    this.#waiting = this.#waiting.filter(({ operation }) => operation.kind !== 'settle')
    for (const { done } of withdrawn) done(undefined)
    // Changes nothing, and its answer tells whether the ledger has forgotten something of this task.
    if (!this.#isLost) this.#waiting.unshift({ operation: { ...HELLO }, done: () => {} })
  }

  #quiet(fromMs: number): void {
    this.#closesFromMs = Math.max(this.#closesFromMs, fromMs + this.#options.graceMs)
  }

  #take(at: number, answer: Done, nowMs: number): void {
    const [{ operation, done }] = this.#waiting.splice(at, 1) as [Waiting]
    this.#told = answer.count
    const names = operation.kind === 'lease' ? operation.accounts.map(({ account }) => account) : operation.accounts
    names.forEach((name, index) => {
      this.#spent.set(name, Math.max(this.#spent.get(name) ?? 0, answer.spentNanos[index] ?? 0))
    })
    this.#remember(operation, answer)
    done(answer)
    if (!this.mayClose(nowMs)) return
    for (const { lease, accounts } of answer.abandoned)
      this.add({ kind: 'settle', lease, accounts, closedThrough: ALL_BUCKETS, amountNanos: 0 }, () => {})
  }

  #remember(operation: Operation, { count, nanos }: Done): void {
    if (operation.kind === 'settle') {
      if (operation.amountNanos > 0) return
      this.#applied = this.#applied.filter(each => each.operation.kind !== 'lease' || !isLease(each, operation.lease))
      return
    }
    if (operation.kind === 'lease' && nanos > 0)
      this.#applied.push({ count, operation: { ...operation, wantedNanos: nanos, again: true } })
    if (operation.kind === 'book') this.#applied.push({ count, operation })
    if (this.#applied.length > LIMITS.operationsKeptMax) this.#notKeptThrough = this.#applied.shift()?.count ?? 0
  }

  /** The ledger is brought forward by what it forgot, in the order in which it happened. */
  #repeatAfter(count: number, nowMs: number): void {
    if (count < this.#notKeptThrough) {
      this.#lose(nowMs)
      return
    }
    this.reconnected(nowMs)
    this.#told = count
    const forgotten = this.#applied.filter(each => each.count > count)
    this.#applied = this.#applied.filter(each => each.count <= count)
    this.#waiting.unshift(...forgotten.map(({ operation }) => ({ operation, done: () => {} })))
  }

  #lose(nowMs: number): void {
    this.reconnected(nowMs)
    this.#isLost = true
    for (const lease of this.#options.leases()) lease.freeze(nowMs)
  }

  #witness(): Witness {
    const { newEpoch, opensAfterMs, abandonedAfterMs, leases } = this.#options
    const booked = this.#applied.flatMap(({ operation }) => (operation.kind === 'book' ? [operation] : []))
    return {
      lostEpoch: this.#epoch,
      newEpoch: newEpoch(),
      opensAfterMs,
      spent: new Map(this.#spent),
      leases: leases().map(({ terms: { lease, accounts }, heldNanos, closedThrough }) => {
        return { lease, accounts, heldNanos, closedThrough, abandonedAfterMs }
      }),
      keys: new Map(booked.map(({ key, rememberMs }) => [key, rememberMs])),
    }
  }
}

/**
 * After a new connection, a ledger that forgot is told again of leases first, then of bookings on them, which may be
 * other tasks'; each gets half of the grace. Only then is anything leased or closed. Without a lease nothing waits.
 */
function isInTurn(operation: Operation, untilCalmMs: number, graceMs: number): boolean {
  if (untilCalmMs <= 0 || operation.lease === HELLO.lease) return true
  if (operation.kind === 'lease') return operation.again
  return operation.kind === 'book' && (operation.lease === '' || untilCalmMs <= graceMs / 2)
}

function isLease({ operation }: Applied, lease: string): boolean {
  return operation.kind === 'lease' && operation.lease === lease
}
