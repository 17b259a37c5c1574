/** Keeps a copy on the disk up to date: some time after a change, so that many changes make one copy. */

/** What a keeper works with. */
export interface CopyKeeperParts<T> {
  readonly copy: (wanted: T) => Promise<void>
  readonly delayMs: number
  /** Told once until a copy succeeds again. The copy before stays. */
  readonly onFailure: (error: unknown) => void
}

/** After failures the next try comes after the delay, twice, four times … and so many times the delay at most. */
const DELAYS_MAX = 64

/** Copies the last that was noted. Of a failure it tries again, less and less often. */
export class CopyKeeper<T> {
  readonly #parts: CopyKeeperParts<T>
  #wanted: T | undefined
  #timer: NodeJS.Timeout | undefined
  #failures = 0
  #isStopped = false

  constructor(parts: CopyKeeperParts<T>) {
    this.#parts = parts
  }

  /** This is served now. */
  note(wanted: T): void {
    this.#wanted = wanted
    this.#schedule()
  }

  /** Copies no more. What is under way ends with its source. */
  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#timer)
  }

  #schedule(): void {
    if (this.#timer !== undefined || this.#isStopped) return
    const delays = Math.min(DELAYS_MAX, 2 ** this.#failures)
    this.#timer = setTimeout(() => void this.#copy(), delays * this.#parts.delayMs).unref()
  }

  async #copy(): Promise<void> {
    const wanted = this.#wanted
    this.#wanted = undefined
    try {
      if (wanted !== undefined) await this.#parts.copy(wanted)
      this.#failures = 0
    } catch (error) {
      this.#wanted ??= wanted
      if (!this.#isStopped && this.#failures++ === 0) this.#parts.onFailure(error)
    }
    this.#timer = undefined
    if (this.#wanted !== undefined) this.#schedule()
  }
}
