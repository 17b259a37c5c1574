/**
 * The port to the spend ledger: accounts, leases and bookings that all tasks of a tenant share. Amounts are whole nanos
 * of the ledger currency below 2^53. Every operation may be sent again after a lost answer and then changes nothing.
 * The formulas are in ARCHITECTURE.md.
 */

/** One account that a lease draws from. */
export interface AccountLimit {
  readonly account: string
  /** Nanos; Number.MAX_SAFE_INTEGER where there is no budget. */
  readonly limitNanos: number
}

/** Who asks, and what it knows of the ledger. */
export interface Caller {
  readonly task: string
  /** The ledger's memory that the task knows; another one, or none, has lost something. */
  readonly epoch: string
  /** The highest count in an answer that this task received; a ledger that knows a lower one has gone back in time. */
  readonly told: number
}

/** Asks for permission to spend from all the accounts at once. */
export interface LeaseOperation {
  readonly kind: 'lease'
  /** Distinct for every lease ever asked for. */
  readonly lease: string
  readonly accounts: readonly AccountLimit[]
  readonly wantedNanos: number
  /** Less than this is nothing. */
  readonly leastNanos: number
  /** The lease is abandoned, and anyone may return it, this long after it was granted: its end, the longest hold, the
   * grace and what clocks may differ by. */
  readonly abandonedAfterMs: number
  /** Sent again to a ledger that has forgotten it: wanted is granted, whatever is left. */
  readonly again: boolean
}

/** Closes expiry buckets and gives back what is not needed. Closing and giving back cannot be undone. */
export interface SettleOperation {
  readonly kind: 'settle'
  readonly lease: string
  readonly accounts: readonly string[]
  /** Notices of this bucket and those before are late from now on. */
  readonly closedThrough: number
  /** The lease shrinks to this; a greater one changes nothing. */
  readonly amountNanos: number
}

/** Says that a task is there. Changes nothing that is spent or leased. */
export interface HelloOperation {
  readonly kind: 'hello'
  readonly lease: ''
  readonly accounts: readonly []
  /**
   * vouching: the task has had this ledger for longer than the grace, so whoever had to repeat something has done so.
   * waiting: it has not. leaving: it leases no more, and will have nothing to repeat.
   */
  readonly is: 'vouching' | 'waiting' | 'leaving'
}

/** Books what an exchange bills, once per key. */
export interface BookOperation {
  readonly kind: 'book'
  readonly key: string
  /** '' for a line item without budgets. */
  readonly lease: string
  readonly bucket: number
  readonly accounts: readonly string[]
  /** Accounts that count with these and that nothing is leased from: what statements are compared by. */
  readonly tallies?: readonly string[]
  readonly amountNanos: number
  /** The amount is not what the exchange said, but the most that was bid. */
  readonly isFlagged?: boolean
  /** How long the key is remembered: at least as long as the token lives. */
  readonly rememberMs: number
}

/** What a task knows of a ledger whose memory is lost. Totals of the lost epoch; its own leases and bookings. */
export interface Witness {
  /** The epoch that was lost; '' when the task knew none. */
  readonly lostEpoch: string
  /** The epoch that begins if no other task has begun one. */
  readonly newEpoch: string
  /** From the beginning of the new epoch until it is open: long enough for all tasks, and for holds of dead ones. */
  readonly opensAfterMs: number
  /** The same for bookings: long enough for all tasks that are there. Who comes later may book a key again. */
  readonly booksAfterMs: number
  /** The highest total that the task was told, by account. */
  readonly spent: ReadonlyMap<string, number>
  readonly leases: readonly WitnessedLease[]
  /** Keys that the task booked, with the time for which they are still to be remembered. */
  readonly keys: ReadonlyMap<string, number>
}

/** A lease that its task uses no more: only its open holds can still be billed. */
export interface WitnessedLease {
  readonly lease: string
  readonly accounts: readonly string[]
  readonly heldNanos: number
  readonly closedThrough: number
  readonly abandonedAfterMs: number
}

/** One change of what is leased, or a hello in between. */
export type LeaseChange = LeaseOperation | SettleOperation | HelloOperation

/** One change of the ledger. */
export type Operation = LeaseChange | BookOperation

/** The ledger did it, or had done it before. `spent` are totals of the operation's accounts, in their order. */
export interface Done {
  readonly kind: 'done'
  /** Operations of this task so far, this one included. */
  readonly count: number
  /**
   * lease: what was granted, 0 for nothing. settle: what was booked in closed buckets; −1 when the lease has been
   * returned. book: what no lease covers, because it is late or more than was held; −1 when the key was known.
   */
  readonly nanos: number
  readonly spentNanos: readonly number[]
  /** lease: the room that is left in the narrowest account after the grant; otherwise 0. */
  readonly leftNanos: number
  /** lease: by account what other ledgers have given of their shares; only where some have. */
  readonly addedNanos?: readonly number[]
  /** hello: what the ledger knows of other tasks. */
  readonly heard?: TasksHeard
  /** lease: some leases that are abandoned and to be settled by whoever reads this. */
  readonly abandoned: readonly AbandonedLease[]
}

/** What a ledger knows of its tasks. */
export interface TasksHeard {
  /** How often tasks have vouched for it. */
  readonly vouches: number
  /** Other tasks that have leased, were heard in LEASING_HEARD_MS of the ledger's own time and did not leave. */
  readonly leasing: number
}

/** A task that leases and was not heard for so long has nothing left to repeat, or is waited for by the grace. */
export const LEASING_HEARD_MS = 30_000

/** A lease whose task did not return it in time. */
export interface AbandonedLease {
  readonly lease: string
  readonly accounts: readonly string[]
}

/**
 * Nothing was changed: `behind` the ledger has forgotten operations of this task after `count`; `lost` it has another
 * epoch, '' for none; `rebuilding` it collects witnesses, and opens for such an operation later.
 */
export type Refused =
  | { readonly kind: 'behind'; readonly count: number }
  | { readonly kind: 'lost'; readonly epoch: string }
  | { readonly kind: 'rebuilding'; readonly opensInMs: number }

/** Closes every bucket of a lease: with amount 0 this returns the lease. */
export const ALL_BUCKETS = Number.MAX_SAFE_INTEGER

/** Abandoned leases that one answer names, at most. */
export const ABANDONED_NAMED_MAX = 10

/** The ledger as tasks reach it. All methods reject when the outcome is not known; then the same is sent again. */
export interface Ledger {
  apply(caller: Caller, operation: LeaseChange): Promise<Done | Refused>
  /**
   * Books all of them in their order and in one step, or, refused, none.
   * @returns an answer for each; the totals in it are those after all of them
   */
  book(caller: Caller, bookings: readonly BookOperation[]): Promise<readonly Done[] | Refused>
  /** @returns the epoch that the task belongs to from now on, and when it opens. */
  rebuild(witness: Witness): Promise<{ readonly epoch: string; readonly opensInMs: number }>
}
