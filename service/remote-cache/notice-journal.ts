/**
 * Bookings on the task's disk: acknowledged to the exchange, and not yet in the ledger, because the cache is away. Each
 * is kept until the ledger has it, over restarts; one that is sent again changes nothing.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { LIMITS } from '../limits.ts'
import type { BookOperation } from '../spend/ledger.ts'
import { readLines, SyncedLines } from './synced-lines.ts'

/** A booking, or the key of one that the ledger has. */
type Line = { readonly book: BookOperation } | { readonly booked: string }

const FILE = 'notices.ndjson'

/** The journal of one task, in a folder that no other process uses. */
export class NoticeJournal {
  readonly #path: string
  readonly #kept: Map<string, BookOperation>
  /** Of bookings that are not on the disk yet: a second notice waits for the first one's line. */
  readonly #arriving = new Map<string, Promise<void>>()
  #lines: SyncedLines
  #shrinking: Promise<void> | undefined
  #writes = 0

  private constructor(path: string, kept: Map<string, BookOperation>, lines: SyncedLines) {
    this.#path = path
    this.#kept = kept
    this.#lines = lines
  }

  /** Opens a folder's journal, which is made when there is none. @throws Error of the file system. Cost: O(bytes). */
  static async open(folder: string): Promise<NoticeJournal> {
    await mkdir(folder, { recursive: true })
    const path = join(folder, FILE)
    const kept = new Map<string, BookOperation>()
    for (const line of (await readLines(path)) as Line[]) {
      if ('book' in line) kept.set(line.book.key, line.book)
      else kept.delete(line.booked)
    }
    return new NoticeJournal(path, kept, await SyncedLines.replace(path, linesOf(kept)))
  }

  /** Bookings that the ledger has not got, in the order in which they came. */
  get bookings(): readonly BookOperation[] {
    return [...this.#kept.values()]
  }

  /**
   * Keeps a booking. Once this resolves, the notice may be acknowledged.
   * @returns false when the journal is full; then the exchange must be told to come again
   * @throws Error of the file system; then nothing may be acknowledged
   */
  async keep(booking: BookOperation): Promise<boolean> {
    const { key } = booking
    const arriving = this.#arriving.get(key)
    if (arriving !== undefined) await arriving
    if (this.#kept.has(key)) return true
    if (this.#kept.size >= LIMITS.journalBookingsMax) return false
    this.#kept.set(key, booking)
    const written = this.#write({ book: booking })
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

  /** The ledger has it. It need not be on the disk: a booking that is sent again changes nothing. */
  async drop(key: string): Promise<void> {
    if (!this.#kept.delete(key)) return
    await this.#write({ booked: key })
  }

  /** Waits for what is being written and closes the file. */
  async close(): Promise<void> {
    await this.#shrinking
    await this.#lines.close()
  }

  async #write(line: Line): Promise<void> {
    while (this.#shrinking !== undefined) await this.#shrinking
    this.#writes++
    try {
      await this.#lines.append(line)
    } finally {
      this.#writes--
    }
    // With no write under way, what is kept is all that matters of the file; new writes wait for the new one.
    if (this.#writes === 0 && this.#lines.count >= 2 * this.#kept.size + SHRINK_LINES_MIN)
      this.#shrinking = this.#shrink().finally(() => {
        this.#shrinking = undefined
      })
  }

  async #shrink(): Promise<void> {
    const old = this.#lines
    try {
      this.#lines = await SyncedLines.replace(this.#path, linesOf(this.#kept))
    } catch {
      // A disk that has no room for the new file still has the old one, and it goes on.
      return
    }
    await old.close()
  }
}

const SHRINK_LINES_MIN = 10_000

function linesOf(kept: ReadonlyMap<string, BookOperation>): Line[] {
  return [...kept.values()].map(book => ({ book }))
}
