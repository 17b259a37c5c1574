/**
 * Keeps the counts of one task the same as those of all others: tells what it counts, hears what they count, and takes
 * turns with them to save all counts, so that they outlive every task. While the store is away it goes on alone, and
 * catches up afterwards.
 */
import { hashText } from '../foundation/hash.ts'
import { LIMITS } from '../limits.ts'
import type { CapBoard } from '../spend/cap-board.ts'
import { type CapLog, countEvents } from '../spend/cap-log.ts'
import { type CapBatch, type CapStore, isLaterPlace, NO_PLACE, type StoredBatch } from '../spend/cap-store.ts'
import { CAP_PARTS, type CapTable } from '../spend/cap-table.ts'

/** What the counts of a task are made of. */
export interface CapSyncOptions {
  readonly store: CapStore
  readonly table: CapTable
  readonly board: CapBoard
  readonly log: CapLog
  /** Distinct for every start of every task. */
  readonly task: string
  readonly monotonicMs: () => number
  /** What another task told was gone before it was heard: what is saved makes up for it. */
  readonly onMissed: () => void
}

interface OtherTask {
  number: number
  heardMs: number
}

/** Whoever drives it calls `turn` some times a second, and not again before it has ended. */
export class CapSync {
  readonly #options: CapSyncOptions
  readonly #own: number
  readonly #others = new Map<string, OtherTask>()
  #told = 0
  #toldMs = Number.NEGATIVE_INFINITY
  #unsent: CapBatch | undefined
  #heard = NO_PLACE
  /** Places up to which saved parts count, until all behind them is heard. */
  #savedUpTo: readonly string[] | undefined
  #isLoaded = false
  #hasMissed = false
  #failed = false
  #nextPart = 0
  #savedMs = Number.NEGATIVE_INFINITY

  constructor(options: CapSyncOptions) {
    this.#options = options
    this.#own = hashText(options.task, 0)
    options.board.setTasks([this.#own], this.#own)
  }

  /** Tasks that live, this one included. */
  get tasks(): number {
    return this.#others.size + 1
  }

  /** Tells and hears. @throws whatever the store does; then the next turn goes on where this one ended */
  async turn(): Promise<void> {
    try {
      if (!this.#isLoaded || this.#hasMissed) await this.#load()
      await this.#tell(false)
      await this.#hear()
      await this.#save()
      this.#failed = false
    } catch (error) {
      this.#failed = true
      throw error
    }
  }

  /** Tells the rest, and that this task tells no more. @throws as turn */
  async leave(): Promise<void> {
    await this.#tell(true)
  }

  /** Takes in all that is saved, and begins behind it at the first time. */
  async #load(): Promise<void> {
    const { store, table } = this.#options
    const places: string[] = []
    for (let part = 0; part < CAP_PARTS; part++) {
      const saved = await store.readPart(part)
      if (saved !== undefined) table.mergeSaved(saved.entries, this.#nowS())
      places.push(saved?.upTo ?? NO_PLACE)
    }
    this.#hasMissed = false
    if (this.#isLoaded) return
    this.#heard = places.reduce((first, place) => (isLaterPlace(first, place) ? place : first))
    this.#savedUpTo = places
    this.#isLoaded = true
  }

  async #tell(leaves: boolean): Promise<void> {
    const { store, log, monotonicMs } = this.#options
    do {
      this.#unsent ??= this.#next(leaves)
      if (this.#unsent === undefined) return
      await store.append(this.#unsent)
      this.#unsent = undefined
      this.#toldMs = monotonicMs()
    } while (log.count > 0)
  }

  #next(leaves: boolean): CapBatch | undefined {
    const { log, task, monotonicMs } = this.#options
    const isSilent = monotonicMs() - this.#toldMs >= LIMITS.capHeartbeatMs
    if (log.count === 0 && !leaves && !isSilent) return undefined
    const events = log.first(LIMITS.capEventsPerBatchMax)
    log.drop(events.length)
    return { task, number: this.#told++, events, leaves: leaves && log.count === 0 }
  }

  async #hear(): Promise<void> {
    const { store, board, monotonicMs } = this.#options
    let batches: readonly StoredBatch[]
    do {
      batches = await store.readAfter(this.#heard)
      for (const batch of batches) this.#take(batch)
    } while (batches.length === LIMITS.capBatchesReadMax)
    this.#savedUpTo = undefined
    const nowMs = monotonicMs()
    for (const [name, other] of this.#others) {
      // Nobody could be heard while the store was away.
      if (this.#failed) other.heardMs = nowMs
      if (nowMs - other.heardMs > LIMITS.capTaskSilentMs) this.#others.delete(name)
    }
    board.setTasks([this.#own, ...[...this.#others.keys()].map(name => hashText(name, 0))], this.#own)
  }

  #take({ task, number, events, leaves, place }: StoredBatch): void {
    this.#heard = place
    if (task === this.#options.task) return
    const known = this.#others.get(task)
    if (known !== undefined && number <= known.number) return
    if (known !== undefined && number > known.number + 1) {
      this.#hasMissed = true
      this.#options.onMissed()
    }
    const upTo = this.#savedUpTo
    const isNew = upTo && ((part: number) => isLaterPlace(place, upTo[part] as string))
    countEvents(this.#options.table, events, this.#nowS(), isNew)
    if (leaves) this.#others.delete(task)
    else this.#others.set(task, { number, heardMs: this.#options.monotonicMs() })
  }

  /** Saves one part in a turn of its own, if it is this task's to save. */
  async #save(): Promise<void> {
    const { store, table, board, monotonicMs } = this.#options
    if (monotonicMs() - this.#savedMs < LIMITS.capSaveMs) return
    this.#savedMs = monotonicMs()
    const part = this.#nextPart
    this.#nextPart = (part + 1) % CAP_PARTS
    if (!board.owns(part, 1)) return
    await store.writePart(part, { upTo: this.#heard, entries: table.savedPart(part, this.#nowS()) })
  }

  #nowS(): number {
    return this.#options.board.nowS(this.#options.monotonicMs())
  }
}
