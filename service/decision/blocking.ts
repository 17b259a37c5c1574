import { type Catalog, SPACE } from '../state/catalog.ts'
import { findText } from '../state/text-table.ts'
import type { Facts } from './opportunity.ts'

/** Of one category in IAB Content Category Taxonomy 1.0, as documents may name them. */
const SUBCATEGORIES_MAX = 99

/** What a bid request blocks, and the categories that it limits itself to. */
export class Blocking {
  readonly #catalog: Catalog
  /** Per value that can block: the number of the request that blocked it. */
  readonly #blocked: Uint32Array
  /** Per value: the number of the request that allowed it. */
  readonly #allowed: Uint32Array
  #request = 0
  #blocksDomains = false
  #blocksCategories = false
  #limitsCategories = false

  constructor(catalog: Catalog) {
    this.#catalog = catalog
    this.#blocked = new Uint32Array(catalog.header.blockValues)
    this.#allowed = new Uint32Array(catalog.header.blockValues)
  }

  /** The next bid request begins. @param request its number, never 0; 1 when the numbers have come round */
  begin(request: number, facts: Facts): void {
    this.#request = request
    if (request === 1) {
      // What an old request of this number left must not count.
      this.#blocked.fill(0)
      this.#allowed.fill(0)
    }
    this.#blocksDomains = this.#block(SPACE.blockedDomain, facts.blockedDomains)
    const blocksApps = this.#block(SPACE.blockedApp, facts.blockedApps)
    this.#blocksCategories = this.#block(SPACE.blockedCategory, facts.blockedCategories) || blocksApps
    this.#limitsCategories = facts.allowedCategories.length > 0
    for (let i = 0; i < facts.allowedCategories.length; i++) this.#allow(facts.allowedCategories[i]!)
  }

  /** Whether an advertiser's domain, or one above it, is blocked. */
  blocksAdvertiser(advertiser: number): boolean {
    if (!this.#blocksDomains) return false
    const { advertiserDomainStart: starts, advertiserDomains } = this.#catalog.columns
    return this.#anyBlocked(advertiserDomains, starts[advertiser]!, starts[advertiser + 1]!)
  }

  /** Whether a category of a creative or its app is blocked, or one of its own categories is none that is allowed. */
  blocksCreative(creative: number): boolean {
    if (!this.#blocksCategories && !this.#limitsCategories) return false
    const { creativeCategoryStart: starts, creativeCategories, creativeOwnCategories } = this.#catalog.columns
    const start = starts[creative]!
    if (this.#blocksCategories && this.#anyBlocked(creativeCategories, start, starts[creative + 1]!)) return true
    if (!this.#limitsCategories) return false
    const end = start + creativeOwnCategories[creative]!
    for (let i = start; i < end; i++) if (this.#allowed[creativeCategories[i]!] !== this.#request) return true
    return false
  }

  /** A category, and those below it: few requests name what they allow, so that these are looked up one by one. */
  #allow(category: string): void {
    this.#allowValue(category)
    if (category.includes('-')) return
    for (let below = 1; below <= SUBCATEGORIES_MAX; below++) this.#allowValue(`${category}-${below}`)
  }

  #allowValue(category: string): void {
    const value = findText(this.#catalog.columns, SPACE.blockedCategory, category)
    if (value >= 0 && value < this.#allowed.length) this.#allowed[value] = this.#request
  }

  /** @returns whether anything of ours is blocked; mostly not, and then no survivor is asked. */
  #block(space: number, texts: readonly string[]): boolean {
    let blocksAny = false
    for (let i = 0; i < texts.length; i++) {
      const value = findText(this.#catalog.columns, space, texts[i]!)
      if (value < 0 || value >= this.#blocked.length) continue
      this.#blocked[value] = this.#request
      blocksAny = true
    }
    return blocksAny
  }

  #anyBlocked(values: Uint32Array, start: number, end: number): boolean {
    for (let i = start; i < end; i++) if (this.#blocked[values[i]!] === this.#request) return true
    return false
  }
}
