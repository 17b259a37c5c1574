/** Frequency caps as one bid thread asks for them and counts its bids. */
import { mixWord } from '../foundation/hash.ts'
import { CAP_LIMITS, CAP_MINUTE_BITS, CAP_WORDS, type Identities } from '../state/cap-fields.ts'
import type { Catalog } from '../state/catalog.ts'
import type { CapBoard } from './cap-board.ts'
import { CAP_EVENT, type CapLog, countedOf, countedText } from './cap-log.ts'
import { type CapKey, type CapTable, expiryUnits } from './cap-table.ts'

/** What the caps of all catalogs of a thread have in common. */
export interface CapCounting {
  readonly table: CapTable
  readonly board: CapBoard
  /** Bids that other tasks have not been told of. */
  readonly log: CapLog
  /** A bid was not told, because too many wait. */
  readonly onUntold: () => void
  /** A line item did not bid, because another task owns whoever its strict cap counts. */
  readonly onElsewhere: () => void
}

const MINUTES_MASK = 2 ** CAP_MINUTE_BITS - 1
/** Beyond the time that a bid says, so long may the notice of its impression be on its way. */
const NOTICE_S = 10

/** Who a request is about, and what their caps say. Used by one thread, for one request after another. */
export class CapAsker {
  readonly #counting: CapCounting
  #identities: Identities = new Uint32Array(6)
  #nowS = 0
  #isOpen = false
  #tenantWords: readonly number[] = []
  /** What the tenant's own caps say, while nothing is counted. */
  #tenantAllows: boolean | undefined
  readonly #key: CapKey = { high: 0, low: 0 }
  readonly #terms = { impressions: 0, gapS: 0 }
  #taken: CapKey[] = []

  constructor(counting: CapCounting) {
    this.#counting = counting
  }

  /** Takes in whose request it is. @param tenantWords the tenant's caps, see capWords */
  begin(identities: Identities, monotonicMs: number, tenantWords: readonly number[]): void {
    const { board } = this.#counting
    this.#identities = identities
    this.#nowS = board.nowS(monotonicMs)
    this.#isOpen = board.isOpen
    this.#tenantWords = tenantWords
    this.#tenantAllows = tenantWords.length === 0 ? true : undefined
  }

  /** Whether the tenant's own caps let one more impression pass. */
  allowsTenant(): boolean {
    this.#tenantAllows ??= this.allows(this.#tenantWords, 0, this.#tenantWords.length)
    return this.#tenantAllows
  }

  /** Whether the caps whose words lie there let one more impression pass. Cost: O(caps) */
  allows(words: ArrayLike<number>, start: number, end: number): boolean {
    for (let at = start; at < end; at += CAP_WORDS) {
      if (!this.#isKnown(words, at)) {
        if ((words[at + 2]! & CAP_LIMITS.open) === 0) return false
      } else if (!this.#isOpen || !this.#isOurs(words, at)) return false
      else if (!this.#counting.table.allows(this.#key, this.#terms, this.#nowS)) return false
    }
    return true
  }

  /**
   * Counts a bid for caps whose words lie there, until it expires.
   * @returns false when one of them lets no more pass; then `giveBack` must follow
   */
  take(words: ArrayLike<number>, start: number, end: number, expiry: number): boolean {
    for (let at = start; at < end; at += CAP_WORDS) {
      if (!this.#isKnown(words, at)) continue
      if (!this.#counting.table.take(this.#key, this.#terms, this.#nowS, expiry)) return false
      this.#taken.push({ high: this.#key.high, low: this.#key.low })
    }
    return true
  }

  /** Counts a bid for the tenant's own caps as well. @returns as take */
  takeTenant(expiry: number): boolean {
    this.#tenantAllows = this.#tenantWords.length === 0 ? true : undefined
    return this.take(this.#tenantWords, 0, this.#tenantWords.length, expiry)
  }

  /** @param lifeS for how long a bid is open */
  expiry(lifeS: number): number {
    return expiryUnits(this.#nowS + lifeS + NOTICE_S)
  }

  /** What was taken since the last time, as a token carries it. Other tasks are told of it. */
  taken(expiry: number): string {
    if (this.#taken.length === 0) return ''
    const text = countedText(expiry, this.#taken)
    for (const key of this.#taken)
      if (!this.#counting.log.push(CAP_EVENT.bid, key, expiry, this.#nowS)) this.#counting.onUntold()
    this.#taken = []
    return text
  }

  /** What was taken since the last time counts no more. */
  giveBack(expiry: number): void {
    for (const key of this.#taken) this.#counting.table.release(key, expiry, this.#nowS)
    this.#taken = []
  }

  /** What `taken` has said counts no more; other tasks are told of that, too. */
  untake(counted: string): void {
    const read = countedOf(counted)
    for (const key of read?.keys ?? []) {
      this.#counting.table.release(key, read?.expiry ?? 0, this.#nowS)
      if (!this.#counting.log.push(CAP_EVENT.lost, key, read?.expiry ?? 0, this.#nowS)) this.#counting.onUntold()
    }
  }

  /** Reads a cap into #key and #terms. @returns whether there is anybody to count for */
  #isKnown(words: ArrayLike<number>, at: number): boolean {
    const limits = words[at + 2]!
    const subject = (limits >>> CAP_LIMITS.subjectShift) & CAP_LIMITS.subjectMask
    const high = this.#identities[2 * subject]!
    const low = this.#identities[2 * subject + 1]!
    if (high === 0 && low === 0) return false
    this.#key.high = mixWord(high ^ words[at]!)
    const minutes = words[at + 1]! & MINUTES_MASK
    this.#key.low = ((mixWord(low ^ words[at + 1]!) & ~MINUTES_MASK) | minutes) >>> 0
    this.#terms.impressions = limits & CAP_LIMITS.impressionsMask
    this.#terms.gapS = words[at + 3]!
    return true
  }

  #isOurs(words: ArrayLike<number>, at: number): boolean {
    const limits = words[at + 2]!
    if ((limits & CAP_LIMITS.strict) === 0) return true
    const subject = (limits >>> CAP_LIMITS.subjectShift) & CAP_LIMITS.subjectMask
    if (this.#counting.board.owns(this.#identities[2 * subject]!, this.#identities[2 * subject + 1]!)) return true
    this.#counting.onElsewhere()
    return false
  }
}

/** Caps of one catalog. Line items and creatives are its ordinals. */
export class ThreadCaps {
  readonly #asker: CapAsker
  readonly #columns: Catalog['columns']

  constructor(asker: CapAsker, { columns }: Catalog) {
    this.#asker = asker
    this.#columns = columns
  }

  /** As CapAsker.begin. */
  begin(identities: Identities, monotonicMs: number, tenantWords: readonly number[]): void {
    this.#asker.begin(identities, monotonicMs, tenantWords)
  }

  /** Whether its own caps and those above it let it have one more impression with whoever asks. */
  allowsLineItem(lineItem: number): boolean {
    const { lineItemCapStart: starts, lineItemCaps } = this.#columns
    const [start, end] = [starts[lineItem]!, starts[lineItem + 1]!]
    return (start === end || this.#asker.allows(lineItemCaps, start, end)) && this.#asker.allowsTenant()
  }

  /** The same for a creative's own caps. */
  allowsCreative(creative: number): boolean {
    const { creativeCapStart: starts, creativeCaps } = this.#columns
    const [start, end] = [starts[creative]!, starts[creative + 1]!]
    return start === end || this.#asker.allows(creativeCaps, start, end)
  }

  /**
   * Counts a bid until it expires, for all caps that it is under.
   * @param lifeS for how long it is open
   * @returns what a notice says of it, '' when nobody counts it; undefined when a cap lets no more pass, and then there
   *   must be no bid
   */
  take(lineItem: number, creative: number, lifeS: number): string | undefined {
    const { lineItemCapStart, lineItemCaps, creativeCapStart, creativeCaps } = this.#columns
    const asker = this.#asker
    const expiry = asker.expiry(lifeS)
    const taken =
      asker.takeTenant(expiry) &&
      asker.take(lineItemCaps, lineItemCapStart[lineItem]!, lineItemCapStart[lineItem + 1]!, expiry) &&
      asker.take(creativeCaps, creativeCapStart[creative]!, creativeCapStart[creative + 1]!, expiry)
    if (taken) return asker.taken(expiry)
    asker.giveBack(expiry)
    return undefined
  }

  /** There is no such bid after all. @param counted what take has said */
  giveBack(counted: string): void {
    this.#asker.untake(counted)
  }
}
