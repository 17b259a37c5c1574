/** Users and their segments as anybody would write them down: the oracle of what is published and looked up. */
import { NEVER_ENDS } from '../../service/state/audience-chunk.ts'

const MINUTE_MS = 60_000

/** Users by the text of their id. */
export class NaiveAudience {
  readonly #users = new Map<string, Map<string, number>>()
  readonly #forgotten = new Set<string>()

  /** Publishes rows of a segment, each with the minute at which it ends. */
  publish(kind: 'add' | 'remove' | 'replace', segment: string, rows: ReadonlyMap<string, number>): void {
    if (kind === 'replace') for (const of of this.#users.values()) of.delete(segment)
    for (const [id, minute] of rows) {
      if (kind === 'remove') this.#users.get(id)?.delete(segment)
      else if (!this.#forgotten.has(id)) this.#users.set(id, this.#of(id).set(segment, minute))
    }
  }

  forget(ids: readonly string[]): void {
    for (const id of ids) {
      this.#users.delete(id)
      this.#forgotten.add(id)
    }
  }

  allowAgain(ids: readonly string[]): void {
    for (const id of ids) this.#forgotten.delete(id)
  }

  /** In the order of their names. */
  segmentsOf(id: string, nowMs: number): string[] {
    const lasts = (minute: number) => minute === NEVER_ENDS || minute * MINUTE_MS > nowMs
    return [...this.#of(id)].flatMap(([segment, minute]) => (lasts(minute) ? [segment] : [])).toSorted()
  }

  #of(id: string): Map<string, number> {
    return this.#users.get(id) ?? new Map<string, number>()
  }
}
