/**
 * The embedded spend ledger of one process: the rules in memory, and a local file of what was asked, which gives the
 * same memory when it is asked again. For `file:` tenants; a ledger that tasks share is in the remote cache.
 */
import { type FileHandle, mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../foundation/clock.ts'
import type { Caller, Done, Ledger, Operation, Refused, Witness } from '../spend/ledger.ts'
import { type Account, applyToLedger, emptyLedger, type LedgerState, rebuildLedger } from '../spend/ledger-memory.ts'

/** One line of the file: the whole memory (the first line), or what was asked and when. */
type Line =
  | { readonly kind: 'memory'; readonly state: StoredState }
  | { readonly kind: 'apply'; readonly nowMs: number; readonly caller: Caller; readonly operation: Operation }
  | { readonly kind: 'rebuild'; readonly nowMs: number; readonly witness: StoredWitness }

interface StoredState {
  readonly epoch: string
  readonly atMs: number
  readonly wallMs: number
  readonly opensMs: number
  readonly accounts: readonly (readonly [string, Account])[]
  readonly leases: readonly (readonly [string, StoredLease])[]
  readonly keys: readonly (readonly [string, number])[]
  readonly counts: readonly (readonly [string, number])[]
}

type LeaseRecord = LedgerState['leases'] extends Map<string, infer R> ? R : never
type StoredLease = Omit<LeaseRecord, 'buckets'> & { readonly buckets: readonly (readonly [number, number])[] }
type StoredWitness = Omit<Witness, 'spent' | 'keys'> & {
  readonly spent: readonly (readonly [string, number])[]
  readonly keys: readonly (readonly [string, number])[]
}

const FILE = 'ledger.ndjson'

/** A ledger in a folder that no other process uses. An answer is given when what was asked is on the disk. */
export class FileLedger implements Ledger {
  readonly #clock: Clock
  readonly #state: LedgerState
  readonly #file: FileHandle
  /** What is written as soon as the write before it is on the disk: one write for all that came meanwhile. */
  #unwritten = ''
  #writing: Promise<void> | undefined

  private constructor(clock: Clock, state: LedgerState, file: FileHandle) {
    this.#clock = clock
    this.#state = state
    this.#file = file
  }

  /**
   * Reads the folder's ledger, or begins one; the file shrinks to what is remembered.
   * @throws Error of the file system, or when a line other than the last is not one of ours. Cost: O(bytes).
   */
  static async open(folder: string, clock: Clock): Promise<FileLedger> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, FILE)
    const state = await readState(path)
    const next = `${path}.next`
    const file = await open(next, 'w', 0o600)
    await file.write(lineOf({ kind: 'memory', state: stored(state) }))
    await file.datasync()
    await rename(next, path)
    return new FileLedger(clock, state, file)
  }

  /** @throws Error of the file system; then it is not known whether the operation is remembered */
  async apply(caller: Caller, operation: Operation): Promise<Done | Refused> {
    const nowMs = this.#clock.nowMs()
    const answer = applyToLedger(this.#state, caller, operation, nowMs)
    if (answer.kind === 'done') await this.#write({ kind: 'apply', nowMs, caller, operation })
    return answer
  }

  /** @throws Error of the file system; then it is not known whether the witness is remembered */
  async rebuild(witness: Witness): Promise<{ epoch: string; opensInMs: number }> {
    const nowMs = this.#clock.nowMs()
    const answer = rebuildLedger(this.#state, witness, nowMs)
    const storedWitness = { ...witness, spent: [...witness.spent], keys: [...witness.keys] }
    await this.#write({ kind: 'rebuild', nowMs, witness: storedWitness })
    return answer
  }

  /** What the ledger remembers of an account; undefined for one that nothing was asked about. */
  account(name: string): Account | undefined {
    return this.#state.accounts.get(name)
  }

  /** Waits for what is being written and closes the file. */
  async close(): Promise<void> {
    await this.#writing
    await this.#file.close()
  }

  async #write(line: Line): Promise<void> {
    this.#unwritten += lineOf(line)
    await this.#writing
    this.#writing ??= this.#flush()
    await this.#writing
  }

  async #flush(): Promise<void> {
    const text = this.#unwritten
    this.#unwritten = ''
    try {
      if (text !== '') await this.#file.appendFile(text)
      if (text !== '') await this.#file.datasync()
    } finally {
      this.#writing = undefined
    }
  }
}

function lineOf(line: Line): string {
  return `${JSON.stringify(line)}\n`
}

async function readState(path: string): Promise<LedgerState> {
  let text = ''
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ENOENT') throw error
  }
  let state = emptyLedger()
  const lines = text.split('\n')
  // A process that was killed can leave half a line: nobody was told that it is remembered.
  lines.pop()
  for (const [index, line] of lines.entries()) {
    const read = JSON.parse(line) as Line
    if (read.kind === 'memory') state = loaded(read.state)
    else if (read.kind === 'apply') applyToLedger(state, read.caller, read.operation, read.nowMs)
    else if (read.kind === 'rebuild') rebuildLedger(state, witnessOf(read.witness), read.nowMs)
    else throw new Error(`${path}, line ${index + 1}: not a line of a ledger`)
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
  }
}

function loaded(state: StoredState): LedgerState {
  return {
    ...state,
    accounts: new Map(state.accounts),
    leases: new Map(state.leases.map(([id, lease]) => [id, { ...lease, buckets: new Map(lease.buckets) }] as const)),
    keys: new Map(state.keys),
    counts: new Map(state.counts),
  }
}
