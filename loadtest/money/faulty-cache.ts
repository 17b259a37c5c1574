/** The ledger of a simulation: the service's own rules behind a network and a memory that fail by a seed. */
import type { Random } from '../../service/foundation/random.ts'
import {
  ALL_BUCKETS,
  type BookOperation,
  type Caller,
  type Done,
  type LeaseChange,
  type Refused,
} from '../../service/spend/ledger.ts'
import {
  type Account,
  applyToLedger,
  bookInLedger,
  emptyLedger,
  type LedgerState,
  rebuildLedger,
} from '../../service/spend/ledger-memory.ts'
import type { ToSend } from '../../service/spend/task-ledger.ts'

/** One rule of the ledger left out on purpose: the simulation must notice each of them. */
export const BROKEN_RULES = {
  'books-twice': 'a key that was booked is booked again',
  'grants-leased': 'a grant does not count what is leased to others',
  'never-closes': 'a bucket that was settled still takes bookings',
  'trusts-empty-memory': 'an empty ledger serves as if nothing had been spent',
  'forgets-counts': 'a ledger that went back in time does not notice it',
  'believes-the-clock': 'a wall clock that jumps makes leases abandoned',
  'no-grace': 'tasks close a bucket at once when it expires',
  'abandons-early': 'leases are returned while their holds are open',
  'holds-half': 'a strict bid holds half of its price',
  'forgets-threads': 'what a bid thread had when it ended counts as free',
  'hasty-after-failover': 'tasks lease and close at once after a new connection',
} as const

/** Name of a broken rule. */
export type BrokenRule = keyof typeof BROKEN_RULES

/** What came of sending; undefined when no answer came. */
export type Reply =
  | { readonly kind: 'answered'; readonly answer: Done | Refused }
  | { readonly kind: 'booked'; readonly answers: readonly Done[] | Refused }
  | { readonly kind: 'rebuilt'; readonly epoch: string }
  | undefined

interface Twin {
  readonly atMs: number
  readonly sent: ToSend
}

/** A cache that loses requests and replies, repeats old requests, loses memory, and whose clock jumps. */
export class FaultyCache {
  state: LedgerState = emptyLedger()
  isDown = false
  /** Tells every connection from those before a failover. */
  connection = 0
  wallOffsetMs = 0
  readonly #random: Random
  readonly #broken: BrokenRule | undefined
  readonly #onBooked: (operation: BookOperation, uncoveredNanos: number) => void
  #twins: Twin[] = []
  #older: LedgerState | undefined

  constructor(
    random: Random,
    broken: BrokenRule | undefined,
    onBooked: (operation: BookOperation, uncoveredNanos: number) => void,
  ) {
    this.#random = random
    this.#broken = broken
    this.#onBooked = onBooked
  }

  /** Sends one message through the network. `loss` is the chance of each loss. */
  send(sent: ToSend, nowMs: number, loss: number): Reply {
    if (this.isDown || this.#random.chance(loss)) return undefined
    const reply = this.#execute(sent, nowMs)
    if (!this.#random.chance(loss)) return reply
    if (this.#random.chance(0.3)) this.#twins.push({ atMs: nowMs + this.#random.between(1_000, 20_000), sent })
    return undefined
  }

  /** Old requests that were stuck somewhere arrive once more. */
  deliverTwins(nowMs: number): void {
    for (const { sent } of this.#twins.filter(({ atMs }) => atMs <= nowMs)) if (!this.isDown) this.#execute(sent, nowMs)
    this.#twins = this.#twins.filter(({ atMs }) => atMs > nowMs)
  }

  /** What a replica has got so far; `failOver` goes back to it. Cost: O(memory). */
  replicate(): void {
    this.#older = copyOf(this.state)
  }

  /** The replica takes over: what came after `replicate` is forgotten, and every connection is new. */
  failOver(): void {
    if (this.#older !== undefined) this.state = this.#older
    this.#older = undefined
    this.#reconnect()
    if (this.#broken === 'forgets-counts') this.state.counts.clear()
  }

  /** All memory is lost. */
  empty(): void {
    const { epoch } = this.state
    this.state = emptyLedger()
    if (this.#broken === 'trusts-empty-memory') this.state.epoch = epoch
    this.#reconnect()
  }

  #reconnect(): void {
    this.connection++
    this.#twins = []
  }

  #execute(sent: ToSend, nowMs: number): Reply {
    const wallMs = nowMs + this.wallOffsetMs
    if (sent.kind === 'rebuild')
      return { kind: 'rebuilt', epoch: rebuildLedger(this.state, sent.witness, wallMs).epoch }
    const caller = this.#broken === 'forgets-counts' ? { ...sent.caller, told: 0 } : sent.caller
    if (this.#broken === 'believes-the-clock') this.state.atMs = Math.max(this.state.atMs, wallMs)
    if (sent.kind === 'book') return { kind: 'booked', answers: this.#book(caller, sent.bookings, wallMs) }
    return { kind: 'answered', answer: this.#apply(caller, sent.operation, wallMs) }
  }

  #book(caller: Caller, bookings: readonly BookOperation[], wallMs: number): readonly Done[] | Refused {
    if (this.#broken === 'books-twice') for (const { key } of bookings) this.state.keys.delete(key)
    const answers = bookInLedger(this.state, caller, bookings, wallMs)
    if ('kind' in answers) return answers
    for (const [i, { nanos }] of answers.entries()) if (nanos >= 0) this.#onBooked(bookings[i] as BookOperation, nanos)
    return answers
  }

  #apply(caller: Caller, operation: LeaseChange, wallMs: number): Done | Refused {
    const { state } = this
    if (this.#broken === 'never-closes' && operation.kind === 'settle' && operation.closedThrough !== ALL_BUCKETS) {
      const closed = state.leases.get(operation.lease)?.closedThrough ?? 0
      return applyToLedger(state, caller, { ...operation, closedThrough: closed }, wallMs)
    }
    if (this.#broken === 'grants-leased' && operation.kind === 'lease') {
      const accounts = operation.accounts.map(({ account, limitNanos }) => {
        return { account, limitNanos: limitNanos + (state.accounts.get(account)?.leasedNanos ?? 0) }
      })
      return applyToLedger(state, caller, { ...operation, accounts }, wallMs)
    }
    return applyToLedger(state, caller, operation, wallMs)
  }
}

function copyOf(state: LedgerState): LedgerState {
  const accounts = [...state.accounts].map(([name, account]) => [name, { ...account }] as [string, Account])
  const leases = [...state.leases].map(
    ([lease, record]) => [lease, { ...record, buckets: new Map(record.buckets) }] as const,
  )
  return {
    ...state,
    accounts: new Map(accounts),
    leases: new Map(leases),
    keys: new Map(state.keys),
    counts: new Map(state.counts),
    leasing: new Map(state.leasing),
  }
}
