/** A file of JSON lines that is written anew, and shorter, once most of it matters no more. One process writes it. */
import { SyncedLines } from './synced-lines.ts'

/** A file is written anew when it has twice what mattered the last time, and so much more: 1 MiB. */
const SHRINK_CHARS_MIN = 1024 * 1024

/** Appends lines; see SyncedLines. */
export class ShrinkingLines {
  readonly #path: string
  readonly #whole: () => readonly unknown[]
  #lines: SyncedLines
  #mattered: number
  #shrinking: Promise<void> | undefined
  #writes = 0

  private constructor(path: string, whole: () => readonly unknown[], lines: SyncedLines) {
    this.#path = path
    this.#whole = whole
    this.#lines = lines
    this.#mattered = lines.chars
  }

  /**
   * Replaces the file by what matters.
   * @param whole that, as lines: all that appended lines say, from the moment on in which they are appended
   * @throws Error of the file system
   */
  static async open(path: string, whole: () => readonly unknown[]): Promise<ShrinkingLines> {
    return new ShrinkingLines(path, whole, await SyncedLines.replace(path, whole()))
  }

  /**
   * Resolves when the line is on the disk. Sometimes O(what matters).
   * @throws Error of the file system; then the line may or may not be there
   */
  async append(line: unknown): Promise<void> {
    while (this.#shrinking !== undefined) await this.#shrinking
    this.#writes++
    try {
      await this.#lines.append(line)
    } finally {
      this.#writes--
    }
    // With no write under way, what matters is all there is; new lines wait for the new file.
    if (this.#writes === 0 && this.#lines.chars >= 2 * this.#mattered + SHRINK_CHARS_MIN)
      this.#shrinking = this.#shrink().finally(() => {
        this.#shrinking = undefined
      })
  }

  /** Waits for what is being written and closes the file. */
  async close(): Promise<void> {
    await this.#shrinking
    await this.#lines.close()
  }

  async #shrink(): Promise<void> {
    const old = this.#lines
    try {
      this.#lines = await SyncedLines.replace(this.#path, this.#whole())
      this.#mattered = this.#lines.chars
    } catch {
      // A disk that has no room for the new file still has the old one, and it goes on.
      this.#mattered = old.chars
      return
    }
    await old.close()
  }
}
