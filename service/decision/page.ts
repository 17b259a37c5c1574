import type { CatalogColumns } from '../state/catalog.ts'
import type { Settings } from '../state/documents.ts'

/** Who has a bid for an earlier impression of a bid request: what may be once on a page does not bid again. */
export class Page {
  /** Per advertiser and per first rendition of a creative: the number of the request in which it has a bid. */
  readonly #advertisers: Uint32Array
  readonly #creatives: Uint32Array
  #request = 0
  /** Whether anybody has a bid: mostly not, and then nobody need be asked. */
  hasBids = false

  constructor({ advertiserDomainStart, creativeFormat }: CatalogColumns) {
    this.#advertisers = new Uint32Array(advertiserDomainStart.length)
    this.#creatives = new Uint32Array(creativeFormat.length)
  }

  /** The next bid request begins. @param request its number, never 0; 1 when the numbers have come round */
  begin(request: number): void {
    this.#request = request
    this.hasBids = false
    if (request !== 1) return
    this.#advertisers.fill(0)
    this.#creatives.fill(0)
  }

  /** Notes a bid of an advertiser with a creative; −1 is nobody. @param creative its first rendition */
  occupy({ onPage: rule }: Settings, advertiser: number, creative: number): void {
    const once = rule === 'one-per-creative' ? creative : advertiser
    if (rule === 'any' || once < 0) return
    const noted = rule === 'one-per-creative' ? this.#creatives : this.#advertisers
    noted[once] = this.#request
    this.hasBids = true
  }

  /** Whether an advertiser may not bid again. */
  hasAdvertiser(advertiser: number): boolean {
    return this.hasBids && this.#advertisers[advertiser] === this.#request
  }

  /** Whether a creative may not bid again. @param creative its first rendition */
  hasCreative(creative: number): boolean {
    return this.hasBids && this.#creatives[creative] === this.#request
  }
}
