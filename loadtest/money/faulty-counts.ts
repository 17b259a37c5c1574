/** Where simulated tasks tell each other what they count: a stream and saved parts, over links that fail by a seed. */
import type { Random } from '../../service/foundation/random.ts'
import {
  type CapBatch,
  type CapStore,
  isLaterPlace,
  type SavedPart,
  type StoredBatch,
} from '../../service/spend/cap-store.ts'

/** A rule of counting left out on purpose: the simulation must notice each of them. */
export const BROKEN_COUNTS = {
  'tells-no-bids': 'a task tells nobody of its bids, only of what was seen',
  'loses-shown': 'the store forgets every second batch',
} as const

/** Name of a broken rule. */
export type BrokenCount = keyof typeof BROKEN_COUNTS

interface Memory {
  readonly stream: StoredBatch[]
  readonly parts: Map<number, SavedPart>
}

/** One task's link to the store. A request or its reply may be lost; then the outcome is not known. */
export class FaultyCounts implements CapStore {
  readonly broken: BrokenCount | undefined
  readonly #random: Random
  readonly #memory: Memory
  #clock = { nowMs: 0 }
  #awayUntilMs = 0
  /** The chance that a request is lost, and that a reply is. */
  loss = 0
  /** Whether the last request was answered. */
  wasReached = true

  constructor(random: Random, broken?: BrokenCount, memory: Memory = { stream: [], parts: new Map() }) {
    this.#random = random
    this.broken = broken
    this.#memory = memory
  }

  /** Another link to the same store. */
  link(): FaultyCounts {
    return new FaultyCounts(this.#random, this.broken, this.#memory)
  }

  /** Nothing passes until then. */
  awayUntil(untilMs: number, clock: { readonly nowMs: number }): void {
    this.#awayUntilMs = untilMs
    this.#clock = clock
  }

  async append(batch: CapBatch): Promise<void> {
    const { stream } = this.#memory
    this.#request()
    if (!(this.broken === 'loses-shown' && batch.number % 2 === 0))
      stream.push({ ...batch, place: `${stream.length + 1}-0` })
    this.#reply()
  }

  async readAfter(place: string): Promise<readonly StoredBatch[]> {
    this.#request()
    const found: StoredBatch[] = []
    for (let at = Number(place.split('-')[0]); at < this.#memory.stream.length && found.length < READ_MAX; at++) {
      const batch = this.#memory.stream[at] as StoredBatch
      if (isLaterPlace(batch.place, place)) found.push(batch)
    }
    this.#reply()
    return found
  }

  async readPart(part: number): Promise<SavedPart | undefined> {
    this.#request()
    return this.#memory.parts.get(part)
  }

  async writePart(part: number, saved: SavedPart): Promise<void> {
    this.#request()
    this.#memory.parts.set(part, saved)
    this.#reply()
  }

  async close(): Promise<void> {}

  #request(): void {
    this.wasReached = this.#clock.nowMs >= this.#awayUntilMs
    if (!this.wasReached || this.#random.chance(this.loss)) throw new Error('the request is lost')
  }

  #reply(): void {
    if (this.#random.chance(this.loss)) throw new Error('the reply is lost')
  }
}

const READ_MAX = 1_000
