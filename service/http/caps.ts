/** What the bid path asks of frequency caps: the port to whoever counts. */
import { type Frequency, withoutCounting } from '../decision/frequency.ts'
import type { Identities } from '../state/cap-fields.ts'
import type { Catalog } from '../state/catalog.ts'

/** Caps of one catalog. Asked by the engine, and once more for the bid that is made. */
export interface Caps extends Frequency {
  /**
   * Takes in whose request it is.
   * @param tenantWords the tenant's own caps, see capWords
   */
  begin(identities: Identities, monotonicMs: number, tenantWords: readonly number[]): void
  /**
   * Counts a bid until it expires.
   * @param lifeS for how long it is open
   * @returns what a notice says of it, '' when nobody counts it; undefined when a cap lets no more pass, and then there
   *   must be no bid
   */
  take(lineItem: number, creative: number, lifeS: number): string | undefined
  /** There is no such bid after all. @param counted what take has said */
  giveBack(counted: string): void
}

/** Where nobody counts: what has a cap does not bid. */
export function withoutCounts(catalog: Catalog): Caps {
  return { ...withoutCounting(catalog), begin: () => {}, take: () => '', giveBack: () => {} }
}
