/**
 * Notices on the task's disk: acknowledged to the exchange, and not yet in the ledger and the event stream, because the
 * cache is away. Each is kept until they have it, over restarts; one that is sent again changes nothing.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import type { BookOperation } from '../spend/ledger.ts'
import type { TenantEvent } from './event-stream.ts'
import { ShrinkingLines } from './shrinking-lines.ts'
import { readLines } from './synced-lines.ts'

/** A notice with all that is to be done about it. */
export interface KeptNotice {
  /** The event's: bid and kind. */
  readonly key: string
  /** undefined where nothing is billed. */
  readonly booking: BookOperation | undefined
  readonly event: TenantEvent
}

/** A notice, or the key of one that is done. */
type Line = { readonly keep: KeptNotice } | { readonly done: string }

const FILE = 'notices.ndjson'

/** The journal of one task, in a folder that no other process uses. */
export class NoticeJournal {
  readonly #kept: Map<string, KeptNotice>
  /** Of bookings that are not on the disk yet: a second notice waits for the first one's line. */
  readonly #arriving = new Map<string, Promise<void>>()
  readonly #lines: ShrinkingLines
  readonly #noticesMax: number

  private constructor(kept: Map<string, KeptNotice>, lines: ShrinkingLines, noticesMax: number) {
    this.#kept = kept
    this.#lines = lines
    this.#noticesMax = noticesMax
  }

  /**
   * Opens a folder's journal, which is made when there is none. Cost: O(bytes).
   * @param noticesMax that it takes; what is there already is kept, however much it is
   * @throws Error of the file system
   */
  static async open(folder: string, noticesMax: number = LIMITS.journalNoticesMax): Promise<NoticeJournal> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, FILE)
    const kept = new Map<string, KeptNotice>()
    for (const line of (await readLines(path)) as Line[]) {
      if ('keep' in line) kept.set(line.keep.key, line.keep)
      else kept.delete(line.done)
    }
    return new NoticeJournal(kept, await ShrinkingLines.open(path, () => linesOf(kept)), noticesMax)
  }

  /** Notices that are not done, in the order in which they came. Cost: O(those). */
  get notices(): readonly KeptNotice[] {
    return [...this.#kept.values()]
  }

  get count(): number {
    return this.#kept.size
  }

  /** Whether a part of its places, 0 to 1, is taken. */
  isFull(part: number): boolean {
    return this.#kept.size >= this.#noticesMax * part
  }

  /** Whether this notice is here, and it is on the disk. */
  has(key: string): boolean {
    return this.#kept.has(key) && !this.#arriving.has(key)
  }

  /**
   * Keeps a notice. Once this resolves, the notice may be acknowledged.
   * @returns false when the journal is full; then the exchange must be told to come again
   * @throws Error of the file system; then nothing may be acknowledged
   */
  async keep(notice: KeptNotice): Promise<boolean> {
    const { key } = notice
    const arriving = this.#arriving.get(key)
    if (arriving !== undefined) await arriving
    if (this.#kept.has(key)) return true
    if (this.isFull(1)) return false
    this.#kept.set(key, notice)
    const written = this.#lines.append({ keep: notice } satisfies Line)
    this.#arriving.set(key, written)
    try {
      await written
    } catch (error) {
      this.#kept.delete(key)
      throw error
    } finally {
      this.#arriving.delete(key)
    }
    return true
  }

  /** It is done. That need not be on the disk: a notice that is sent again changes nothing. */
  async drop(key: string): Promise<void> {
    if (!this.#kept.delete(key)) return
    await this.#lines.append({ done: key } satisfies Line)
  }

  /** Waits for what is being written and closes the file. */
  close(): Promise<void> {
    return this.#lines.close()
  }
}

function linesOf(kept: ReadonlyMap<string, KeptNotice>): Line[] {
  return [...kept.values()].map(keep => ({ keep }))
}
