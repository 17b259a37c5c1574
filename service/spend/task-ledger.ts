/**
 * One task's side of the ledger: operations one after another, each sent until its answer comes, bookings that follow
 * each other many at once, and what brings a ledger forward that has lost some or all of its memory. Synchronous:
 * whoever drives it sends what `next` says.
 */
import { LIMITS } from '../limits.ts'
import { accountName } from './accounts.ts'
import { Grace } from './grace.ts'
import type { Lease } from './lease.ts'
import {
  ALL_BUCKETS,
  type BookOperation,
  type Caller,
  type Done,
  type HelloOperation,
  type LeaseChange,
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
  readonly booksAfterMs: number
  readonly abandonedAfterMs: number
  /** All leases of the task that are not returned. */
  readonly leases: () => readonly Lease[]
}

/** What to send next. */
export type ToSend =
  | { readonly kind: 'apply'; readonly caller: Caller; readonly operation: LeaseChange }
  | { readonly kind: 'book'; readonly caller: Caller; readonly bookings: readonly BookOperation[] }
  | { readonly kind: 'rebuild'; readonly witness: Witness }

/** Told once what became of an operation; undefined when it was withdrawn and has to be thought over. */
export type WhenDone = (answer: Done | undefined) => void

interface Waiting {
  readonly operation: Operation
  readonly done: WhenDone
  /** The ledger had done it, and has forgotten it. */
  readonly again: boolean
}

/** A ledger that answers does so in milliseconds; a task with much to tell waits for a second. */
const SILENT_MS = 3_000

/** Operations of one task. Every method changes it. */
export class TaskLedger {
  readonly #options: TaskLedgerOptions
  #epoch = ''
  #told = 0
  #isLost = true
  #waiting: Waiting[] = []
  /** What a ledger that went back in time must be told again, by its count, oldest first. */
  readonly #applied = new Map<number, Operation>()
  /** Of these, the lease and the last settlement of each lease. */
  readonly #leaseCounts = new Map<string, number>()
  readonly #settleCounts = new Map<string, number>()
  /** Count of the last one that is no longer kept. */
  #notKeptThrough = 0
  readonly #spent = new Map<string, number>()
  /** By account, what other ledgers gave it of their shares. */
  readonly #added = new Map<string, number>()
  #opensAtMs = 0
  readonly #grace: Grace
  /** Bookings, and those on a lease. */
  #booksFromMs = Number.NEGATIVE_INFINITY
  #leaseBooksFromMs = Number.NEGATIVE_INFINITY
  #doneMs = Number.NEGATIVE_INFINITY

  constructor(options: TaskLedgerOptions) {
    this.#options = options
    this.#grace = new Grace(options.graceMs)
  }

  /** Operations that wait for their answer. */
  get waitingCount(): number {
    return this.#waiting.length
  }

  /** The total of an account, as it was last told; 0 for one that was never asked about. */
  spentNanos(account: string): number {
    return this.#spent.get(account) ?? 0
  }

  /** Forgets the totals of accounts of days before that one: each day has new ones. Cost: O(accounts). */
  forgetDaysBefore(day: number): void {
    for (const name of this.#spent.keys()) if ((accountName(name)?.day ?? day) < day) this.#spent.delete(name)
  }

  /** What other ledgers gave an account beyond its limit in the documents, as it was last told. */
  addedNanos(account: string): number {
    return this.#added.get(account) ?? 0
  }

  /** Whether the total of an account was told since the ledger's memory was last lost. */
  knows(account: string): boolean {
    return this.#spent.has(account)
  }

  /** Whether there is something to do, and none of it was done for a while: totals are old then. */
  isSilent(nowMs: number): boolean {
    return this.#waiting.length > 0 && nowMs - this.#doneMs > SILENT_MS
  }

  /** See Grace. */
  mayClose(nowMs: number): boolean {
    return this.#grace.mayClose(nowMs)
  }

  /** Whether the ledger has said if it leases: from then on a task bids, or says why it does not. */
  hasBegun(nowMs: number): boolean {
    return !this.#isLost && (this.#grace.mayLease(nowMs) || this.opensInMs(nowMs) > 0)
  }

  /** The task has ended what it bid: it leases no more. Goes after what was added before. */
  leave(): void {
    this.add(hello('leaving'), () => {})
  }

  /**
   * Milliseconds until the ledger leases again, by what it said last; 0 for one that does. It does not while it is new,
   * or has lost its memory and is told by tasks what they know.
   */
  opensInMs(nowMs: number): number {
    return Math.max(0, this.#opensAtMs - nowMs)
  }

  /** Adds an operation, which is sent until it is answered. A settlement may be withdrawn. */
  add(operation: Operation, done: WhenDone): void {
    this.#waiting.push({ operation, done, again: false })
  }

  /** What to send now; the same again until it was answered. undefined when there is nothing to say. */
  next(nowMs: number): ToSend | undefined {
    if (this.#isLost) return { kind: 'rebuild', witness: this.#witness() }
    const isTo = this.#grace.hello(nowMs)
    if (isTo !== undefined) this.#sayFirst(isTo)
    const bookings = new Set<BookOperation>()
    let operation: LeaseChange | undefined
    for (const waiting of this.#waiting) {
      if (!this.#isInTurn(waiting, nowMs)) continue
      // A lease or a settlement goes alone, after what came before it and before what came after.
      if (waiting.operation.kind === 'book') bookings.add(waiting.operation)
      else if (bookings.size === 0) operation = waiting.operation
      if (waiting.operation.kind !== 'book' || bookings.size >= LIMITS.bookingsPerTripMax) break
    }
    const caller = { task: this.#options.task, epoch: this.#epoch, told: this.#told }
    if (bookings.size > 0) return { kind: 'book', caller, bookings: [...bookings] }
    return operation === undefined ? undefined : { kind: 'apply', caller, operation }
  }

  /** Takes the answer to the operation that `next` gave; too late for one that was withdrawn, it says nothing. */
  answered(operation: LeaseChange, answer: Done | Refused, nowMs: number): void {
    if (!this.#waiting.some(each => each.operation === operation)) return
    this.#opensAtMs = answer.kind === 'rebuilding' ? nowMs + answer.opensInMs : 0
    if (answer.kind === 'rebuilding') {
      this.#grace.closed(this.#opensAtMs)
      this.#dropHello()
    } else if (answer.kind === 'done') {
      this.#grace.open(nowMs)
      this.#take(new Map([[operation, answer]]), nowMs)
      if (answer.heard !== undefined) this.#grace.heard(answer.heard, nowMs)
    } else this.#refused(answer, nowMs)
  }

  /** Takes the answers to the bookings that `next` gave. Cost: O(waiting). */
  booked(bookings: readonly BookOperation[], answers: readonly Done[] | Refused, nowMs: number): void {
    if (!('kind' in answers)) this.#take(new Map(bookings.map((booking, i) => [booking, answers[i] as Done])), nowMs)
    else if (answers.kind === 'rebuilding') this.#booksFromMs = nowMs + answers.opensInMs
    else this.#refused(answers, nowMs)
  }

  /** Takes the answer to a rebuild. */
  rebuilt(epoch: string): void {
    this.#epoch = epoch
    this.#told = 0
    this.#applied.clear()
    this.#leaseCounts.clear()
    this.#settleCounts.clear()
    this.#notKeptThrough = 0
    this.#spent.clear()
    this.#added.clear()
    this.#isLost = false
  }

  /**
   * A new connection: the ledger behind it may have forgotten what other tasks did. They have the grace to repeat it
   * before this task leases or closes a bucket; a settlement that waits was made before that and is made anew.
   */
  reconnected(nowMs: number): void {
    this.#grace.begin(nowMs)
    this.#leaseBooksFromMs = nowMs + this.#options.graceMs / 2
    const withdrawn = this.#waiting.filter(({ operation, again }) => operation.kind === 'settle' && !again)
    this.#waiting = this.#waiting.filter(({ operation, again }) => operation.kind !== 'settle' || again)
    this.#dropHello()
    for (const { done } of withdrawn) done(undefined)
  }

  /** What it says is no longer so, or is said again later. */
  #dropHello(): void {
    if (this.#waiting[0]?.operation.kind === 'hello' && this.#waiting[0].again) this.#waiting.shift()
  }

  /** Before all else, at most once: its answer tells whether the ledger has forgotten something of this task. */
  #sayFirst(is: HelloOperation['is']): void {
    this.#dropHello()
    this.#waiting.unshift({ operation: hello(is), done: () => {}, again: true })
  }

  /**
   * After a new connection, a ledger that forgot is told again of leases and of buckets that were closed, then of
   * bookings on them, which may be other tasks'; each gets half of the grace. Only then is anything new leased or
   * closed. Without a lease nothing waits. A ledger that lost all takes bookings once it has heard of the leases.
   */
  #isInTurn({ operation, again }: Waiting, nowMs: number): boolean {
    if (operation.kind === 'lease') return again || this.#grace.mayLease(nowMs)
    if (operation.kind !== 'book') return again || operation.kind === 'hello' || this.mayClose(nowMs)
    return nowMs >= this.#booksFromMs && (operation.lease === '' || nowMs >= this.#leaseBooksFromMs)
  }

  #refused(answer: Exclude<Refused, { readonly kind: 'rebuilding' }>, nowMs: number): void {
    if (answer.kind === 'lost') this.#lose(nowMs)
    else this.#repeatAfter(answer.count, nowMs)
  }

  #take(answers: Map<Operation, Done>, nowMs: number): void {
    const taken: (readonly [Waiting, Done])[] = []
    const kept: Waiting[] = []
    for (const waiting of this.#waiting) {
      if (answers.size === 0) break
      const answer = answers.get(waiting.operation)
      if (answer === undefined) kept.push(waiting)
      else taken.push([waiting, answer])
      // The same operation may wait twice.
      answers.delete(waiting.operation)
    }
    // What is answered lies in front nearly always: after a change of many budgets 100,000 may wait behind it.
    const looked = taken.length + kept.length
    if (kept.length === 0) this.#waiting.splice(0, looked)
    else this.#waiting = [...kept, ...this.#waiting.slice(looked)]
    if (taken.length > 0) this.#doneMs = nowMs
    for (const [{ operation }, answer] of taken) this.#learn(operation, answer)
    for (const [{ done }, answer] of taken) {
      done(answer)
      if (!this.mayClose(nowMs)) continue
      for (const { lease, accounts } of answer.abandoned)
        this.add({ kind: 'settle', lease, accounts, closedThrough: ALL_BUCKETS, amountNanos: 0 }, () => {})
    }
  }

  #learn(operation: Operation, answer: Done): void {
    this.#told = answer.count
    const names = operation.kind === 'lease' ? operation.accounts.map(({ account }) => account) : operation.accounts
    names.forEach((name, index) => {
      this.#spent.set(name, Math.max(this.#spent.get(name) ?? 0, answer.spentNanos[index] ?? 0))
      if (answer.addedNanos !== undefined) this.#added.set(name, answer.addedNanos[index] ?? 0)
    })
    this.#remember(operation, answer)
  }

  #remember(operation: Operation, { count, nanos }: Done): void {
    const { lease } = operation
    if (operation.kind === 'hello') return
    if (operation.kind === 'settle') {
      // A bucket that was closed must stay closed: what was held in it is free again. Only the last one counts.
      this.#forget(this.#settleCounts, lease)
      if (operation.amountNanos === 0) this.#forget(this.#leaseCounts, lease)
      else this.#keep(count, operation, this.#settleCounts)
    } else if (operation.kind === 'book') this.#keep(count, operation)
    else if (nanos > 0) {
      this.#grace.leased()
      this.#keep(count, { ...operation, wantedNanos: nanos, again: true }, this.#leaseCounts)
    }
  }

  #keep(count: number, operation: Operation, counts?: Map<string, number>): void {
    this.#applied.set(count, operation)
    counts?.set(operation.lease, count)
    if (this.#applied.size <= LIMITS.operationsKeptMax) return
    const [oldest] = this.#applied as Iterable<readonly [number, Operation]>
    if (oldest === undefined) return
    this.#notKeptThrough = oldest[0]
    this.#applied.delete(oldest[0])
    for (const known of [this.#leaseCounts, this.#settleCounts])
      if (known.get(oldest[1].lease) === oldest[0]) known.delete(oldest[1].lease)
  }

  #forget(counts: Map<string, number>, lease: string): void {
    const count = counts.get(lease)
    if (count === undefined) return
    counts.delete(lease)
    this.#applied.delete(count)
  }

  /** The ledger is brought forward by what it forgot, in the order in which it happened. */
  #repeatAfter(count: number, nowMs: number): void {
    if (count < this.#notKeptThrough) {
      this.#lose(nowMs)
      return
    }
    this.reconnected(nowMs)
    this.#told = count
    const forgotten = [...this.#applied].filter(each => each[0] > count)
    for (const [its] of forgotten) this.#applied.delete(its)
    this.#waiting.unshift(...forgotten.map(([, operation]) => ({ operation, done: () => {}, again: true })))
  }

  #lose(nowMs: number): void {
    this.reconnected(nowMs)
    this.#isLost = true
    for (const lease of this.#options.leases()) lease.freeze(nowMs)
  }

  #witness(): Witness {
    const { newEpoch, opensAfterMs, booksAfterMs, abandonedAfterMs, leases } = this.#options
    const booked = [...this.#applied.values()].filter(operation => operation.kind === 'book')
    return {
      lostEpoch: this.#epoch,
      newEpoch: newEpoch(),
      opensAfterMs,
      booksAfterMs,
      spent: new Map(this.#spent),
      leases: leases().map(({ terms: { lease, accounts }, heldNanos, closedThrough }) => {
        return { lease, accounts, heldNanos, closedThrough, abandonedAfterMs }
      }),
      keys: new Map(booked.map(({ key, rememberMs }) => [key, rememberMs])),
    }
  }
}

function hello(is: HelloOperation['is']): HelloOperation {
  return { kind: 'hello', lease: '', accounts: [], is }
}
