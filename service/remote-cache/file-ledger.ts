/**
 * The embedded spend ledger of one process: the rules in memory, and a local file of what was asked, which gives the
 * same memory when it is asked again. For `file:` tenants; a ledger that tasks share is in the remote cache.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../foundation/clock.ts'
import type { BookOperation, Caller, Done, LeaseChange, Ledger, Refused, Witness } from '../spend/ledger.ts'
import {
  type Account,
  applyToLedger,
  bookInLedger,
  emptyLedger,
  type LedgerState,
  rebuildLedger,
} from '../spend/ledger-memory.ts'
import { ownerOf, signFolder } from './folder-owner.ts'
import { ShrinkingLines } from './shrinking-lines.ts'
import { readLines } from './synced-lines.ts'

/** One line of the file: the whole memory (the first line), or what was asked and when. */
type Line =
  | { readonly kind: 'memory'; readonly state: StoredState }
  | { readonly kind: 'apply'; readonly nowMs: number; readonly caller: Caller; readonly operation: LeaseChange }
  | {
      readonly kind: 'book'
      readonly nowMs: number
      readonly caller: Caller
      readonly bookings: readonly BookOperation[]
    }
  | { readonly kind: 'rebuild'; readonly nowMs: number; readonly witness: StoredWitness }

interface StoredState {
  readonly epoch: string
  readonly atMs: number
  readonly wallMs: number
  readonly opensMs: number
  readonly booksMs: number
  readonly accounts: readonly (readonly [string, Account])[]
  readonly leases: readonly (readonly [string, StoredLease])[]
  readonly keys: readonly (readonly [string, number])[]
  readonly counts: readonly (readonly [string, number])[]
  /** Files of earlier releases have neither. */
  readonly leasing?: readonly (readonly [string, number])[]
  readonly vouches?: number
}

type LeaseRecord = LedgerState['leases'] extends Map<string, infer R> ? R : never
type StoredLease = Omit<LeaseRecord, 'buckets'> & { readonly buckets: readonly (readonly [number, number])[] }
type StoredWitness = Omit<Witness, 'spent' | 'keys'> & {
  readonly spent: readonly (readonly [string, number])[]
  readonly keys: readonly (readonly [string, number])[]
}

const FILE = 'ledger.ndjson'

/** Two processes with one file would each spend the whole budget. */
class LedgerInUse extends Error {
  override readonly name = 'LedgerInUse'

  constructor(folder: string) {
    super(`${folder} is the ledger of another process that runs; tasks share a ledger in a cache (SPEND_URL=redis://…)`)
  }
}

/** A ledger in a folder that no other process uses. An answer is given when what was asked is on the disk. */
export class FileLedger implements Ledger {
  readonly #clock: Clock
  readonly #state: LedgerState
  readonly #lines: ShrinkingLines

  private constructor(clock: Clock, state: LedgerState, lines: ShrinkingLines) {
    this.#clock = clock
    this.#state = state
    this.#lines = lines
  }

  /**
   * Reads the folder's ledger, or begins one; the file shrinks to what is remembered, now and whenever it has grown.
   * @throws LedgerInUse when another process has it open; Error of the file system, or when a line other than the last
   *   is not one of ours. Cost: O(bytes).
   */
  static async open(folder: string, clock: Clock): Promise<FileLedger> {
    await mkdir(folder, { recursive: true })
    if ((await ownerOf(folder)) === 'alive') throw new LedgerInUse(folder)
    await signFolder(folder)
    const path = join(folder, FILE)
    const state = stateOf((await readLines(path)) as Line[])
    const whole = (): readonly Line[] => [{ kind: 'memory', state: stored(state) }]
    return new FileLedger(clock, state, await ShrinkingLines.open(path, whole))
  }

  /** @throws Error of the file system; then it is not known whether the operation is remembered */
  async apply(caller: Caller, operation: LeaseChange): Promise<Done | Refused> {
    const nowMs = this.#clock.nowMs()
    const answer = applyToLedger(this.#state, caller, operation, nowMs)
    if (answer.kind === 'done') await this.#lines.append({ kind: 'apply', nowMs, caller, operation } satisfies Line)
    return answer
  }

  /** @throws Error of the file system; then it is not known whether the bookings are remembered */
  async book(caller: Caller, bookings: readonly BookOperation[]): Promise<readonly Done[] | Refused> {
    const nowMs = this.#clock.nowMs()
    const answers = bookInLedger(this.#state, caller, bookings, nowMs)
    if (!('kind' in answers)) await this.#lines.append({ kind: 'book', nowMs, caller, bookings } satisfies Line)
    return answers
  }

  /** @throws Error of the file system; then it is not known whether the witness is remembered */
  async rebuild(witness: Witness): Promise<{ epoch: string; opensInMs: number }> {
    const nowMs = this.#clock.nowMs()
    const answer = rebuildLedger(this.#state, witness, nowMs)
    const storedWitness = { ...witness, spent: [...witness.spent], keys: [...witness.keys] }
    await this.#lines.append({ kind: 'rebuild', nowMs, witness: storedWitness } satisfies Line)
    return answer
  }

  /** What the ledger remembers of an account; undefined for one that nothing was asked about. */
  account(name: string): Account | undefined {
    return this.#state.accounts.get(name)
  }

  /** Waits for what is being written and closes the file. */
  close(): Promise<void> {
    return this.#lines.close()
  }
}

function stateOf(lines: readonly Line[]): LedgerState {
  let state = emptyLedger()
  for (const line of lines) {
    if (line.kind === 'memory') state = loaded(line.state)
    else if (line.kind === 'apply') applyToLedger(state, line.caller, line.operation, line.nowMs)
    else if (line.kind === 'book') bookInLedger(state, line.caller, line.bookings, line.nowMs)
    else if (line.kind === 'rebuild') rebuildLedger(state, witnessOf(line.witness), line.nowMs)
    else throw new Error(`${FILE}: ${JSON.stringify(line).slice(0, 80)} is not a line of a ledger`)
  }
  return state
}

function witnessOf(witness: StoredWitness): Witness {
  return { ...witness, spent: new Map(witness.spent), keys: new Map(witness.keys) }
}

function stored(state: LedgerState): StoredState {
  return {
    ...state,
    accounts: [...state.accounts],
    leases: [...state.leases].map(([id, lease]) => [id, { ...lease, buckets: [...lease.buckets] }] as const),
    keys: [...state.keys],
    counts: [...state.counts],
    leasing: [...state.leasing],
  }
}

function loaded(state: StoredState): LedgerState {
  return {
    ...state,
    accounts: new Map(state.accounts),
    leases: new Map(state.leases.map(([id, lease]) => [id, { ...lease, buckets: new Map(lease.buckets) }] as const)),
    keys: new Map(state.keys),
    counts: new Map(state.counts),
    leasing: new Map(state.leasing),
    vouches: state.vouches ?? 0,
  }
}
