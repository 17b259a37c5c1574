/**
 * When a task may lease and close buckets. Behind a new connection may be a ledger that has just forgotten what other
 * tasks did, and they have the grace to repeat it. A task whose own connection is older than that vouches for the
 * ledger: whoever is new hears of it within a second and leases, and need not wait for what nobody has to repeat.
 * Instants are monotonic milliseconds of the task.
 */
import type { HelloOperation, TasksHeard } from './ledger.ts'

/** How often a task that waits says so, and how often others are told that the ledger is the one it was. */
const WAITING_MS = 250
const VOUCHING_MS = 1_000
/** Tasks that have leased and have to repeat it come back within this; a new task that sees none begins then. */
const ALONE_MS = 1_000

/** The grace of one task. Every method that is no question changes it. */
export class Grace {
  readonly #graceMs: number
  #closesFromMs = Number.NEGATIVE_INFINITY
  #leasesFromMs = Number.NEGATIVE_INFINITY
  /** There is a connection, so other tasks may have one. */
  #isShared = false
  #isClosed = false
  #hasLeased = false
  #saidMs = Number.NEGATIVE_INFINITY
  /** What the first hello since the last connection was answered. */
  #greeted: { readonly vouches: number; readonly atMs: number } | undefined

  constructor(graceMs: number) {
    this.#graceMs = graceMs
  }

  /** Whether to close buckets: not while other tasks may still have to repeat what a ledger forgot. */
  mayClose(nowMs: number): boolean {
    return nowMs >= this.#closesFromMs
  }

  /** Whether to lease: as mayClose, or once another task has vouched for the ledger. */
  mayLease(nowMs: number): boolean {
    return nowMs >= this.#leasesFromMs
  }

  /** What to say now; undefined for nothing. The ledger's own time moves only with operations, so who waits says so. */
  hello(nowMs: number): HelloOperation['is'] | undefined {
    const mayLease = this.mayLease(nowMs)
    if (mayLease && !this.#isShared) return undefined
    if (nowMs - this.#saidMs < (mayLease || this.#isClosed ? VOUCHING_MS : WAITING_MS)) return undefined
    this.#saidMs = nowMs
    return this.mayClose(nowMs) ? 'vouching' : 'waiting'
  }

  /** A new connection, or a ledger that has forgotten something. */
  begin(nowMs: number): void {
    this.#isShared = true
    this.#saidMs = Number.NEGATIVE_INFINITY
    this.#quiet(nowMs)
  }

  /** The ledger is closed until then. */
  closed(opensAtMs: number): void {
    this.#isClosed = true
    this.#quiet(opensAtMs)
  }

  /** The ledger does what it is asked, maybe sooner than it said. */
  open(nowMs: number): void {
    if (!this.#isClosed) return
    this.#isClosed = false
    this.#closesFromMs = Math.min(this.#closesFromMs, nowMs + this.#graceMs)
    this.#leasesFromMs = this.#closesFromMs
  }

  /** A lease was granted: if the ledger forgets it, this task has something to repeat. */
  leased(): void {
    this.#hasLeased = true
  }

  /** Takes the answer to a hello. */
  heard({ vouches, leasing }: TasksHeard, nowMs: number): void {
    this.#greeted ??= { vouches, atMs: nowMs }
    // A vouch that the ledger counted after this task's first hello: so it comes from beyond the new connection.
    const isVouched = vouches > this.#greeted.vouches
    const isAlone = !this.#hasLeased && leasing === 0 && nowMs - this.#greeted.atMs >= ALONE_MS
    if (isVouched || isAlone) this.#leasesFromMs = Math.min(this.#leasesFromMs, nowMs)
  }

  #quiet(fromMs: number): void {
    this.#closesFromMs = Math.max(this.#closesFromMs, fromMs + this.#graceMs)
    this.#leasesFromMs = this.#closesFromMs
    this.#greeted = undefined
  }
}
