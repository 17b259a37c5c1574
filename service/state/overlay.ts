/** Folds deltas into a small second catalog, which lies over the one that they change. */
import type { Catalog } from './catalog.ts'
import { CatalogBuilder } from './catalog-builder.ts'
import type { RenderCreative } from './catalog-part.ts'
import type { Creative } from './creative-document.ts'
import { type Delta, idOfRecord } from './delta.ts'
import {
  type Advertiser,
  DOCUMENT_KIND_NAMES,
  type DocumentKindName,
  type LineItem,
  type Settings,
} from './documents.ts'
import { BaseIds } from './overlay-links.ts'
import { DocumentReader, type GoodDocument, type ReadReport } from './validate.ts'

type ManyKind = 'exchanges' | 'advertisers' | 'campaigns' | 'creatives' | 'lists' | 'lineItems'
const KEPT_KINDS = ['exchanges', 'advertisers', 'campaigns', 'creatives', 'lists', 'lineItems'] as const
type Kept = { readonly [K in ManyKind]: Map<string, Extract<GoodDocument, { kind: K }>['document']> }

/**
 * The records that deltas have changed in one base catalog, with what they refer to. Holds documents: few, see
 * LIMITS.overlayLineItemsMax.
 */
export class Overlay {
  readonly #base: Catalog
  readonly #baseIds: BaseIds
  readonly #render: RenderCreative
  #settings: Settings
  #rates: Extract<GoodDocument, { kind: 'rates' }>['document'] | undefined
  readonly #kept: Kept = {
    exchanges: new Map(),
    advertisers: new Map(),
    campaigns: new Map(),
    creatives: new Map(),
    lists: new Map(),
    lineItems: new Map(),
  }
  readonly #masked = new Set<string>()

  constructor(base: Catalog, render: RenderCreative) {
    this.#base = base
    this.#baseIds = new BaseIds(base)
    this.#render = keepingRendered(render)
    this.#settings = base.header.settings
    for (const exchange of base.header.exchanges) this.#kept.exchanges.set(exchange.id, exchange)
  }

  /** Line items that it serves instead of those of the base. */
  get lineItems(): number {
    return this.#kept.lineItems.size
  }

  /**
   * Takes the next delta. Its records are validated with each other; a bad one counts as one that is not there, and so
   * do those that refer to it. Cost: O(size of the delta).
   * @param name for people, such as `delta 17`
   */
  apply(delta: Delta, name: string): ReadReport {
    const silent = new Set(delta.mask)
    const good: GoodDocument[] = []
    const reader = new DocumentReader(document => good.push(document))
    const exchanges = new Set(this.#kept.exchanges.keys())
    for (const each of delta.put.exchanges ?? []) exchanges.delete(idOfRecord(each))
    reader.learn({ kind: 'exchanges', ids: [...exchanges], owners: [...exchanges].fill(''), refused: [] })
    for (const kind of DOCUMENT_KIND_NAMES) {
      const values = recordsOf(delta, kind, this.#settings)
      for (let record = 0; record < values.length; record++)
        if (kind !== 'lineItems' || !silent.has(idOfRecord(values[record])))
          reader.read(kind, values[record], { file: `${name} ${kind}`, record })
    }
    this.#mask(delta)
    for (const id of delta.delete.exchanges ?? []) this.#kept.exchanges.delete(id)
    for (const document of good) this.#keep(document)
    return reader.finish()
  }

  /** All line items that a delta speaks of; those that it carries and that are good serve here from now on. */
  #mask({ put, with: carried, delete: gone, mask }: Delta): void {
    const spokenOf = [...(put.lineItems ?? []), ...(carried.lineItems ?? [])].map(idOfRecord)
    for (const id of [...spokenOf, ...(gone.lineItems ?? []), ...mask]) {
      this.#masked.add(id)
      this.#kept.lineItems.delete(id)
    }
  }

  #keep(good: GoodDocument): void {
    if (good.kind === 'settings') this.#settings = good.document
    else if (good.kind === 'rates') this.#rates = good.document
    else if (good.kind !== 'listParts') {
      const kept = this.#kept[good.kind] as Map<string, unknown>
      // Most of what a delta carries has not changed: as the same object, it is not rendered again.
      if (!isEqual(kept.get(good.document.id), good.document)) kept.set(good.document.id, good.document)
    }
  }

  /**
   * Compiles what it holds into the slab. The catalog is to be read together with the base.
   * @throws as CatalogBuilder.finish. Cost: O(records held + line items of the base / 32)
   */
  build(slab: SharedArrayBuffer, deltas: number): Catalog {
    const builder = new CatalogBuilder(this.#render)
    builder.add({ kind: 'settings', document: this.#settings })
    if (this.#rates !== undefined) builder.add({ kind: 'rates', document: this.#rates })
    const needed = this.#neededIds()
    for (const kind of KEPT_KINDS)
      for (const document of this.#kept[kind].values())
        if (needed[kind]?.has(document.id) !== false) builder.add({ kind, document } as GoodDocument)
    const { version, announcement, rates, ratesEndMs } = this.#base.header
    const links = { base: this.#baseIds, maskedIds: this.#masked }
    const built = builder.finish(slab, { version, announcement, deltas }, links)
    return this.#rates === undefined ? { ...built, header: { ...built.header, rates, ratesEndMs } } : built
  }

  /** What the line items refer to: earlier deltas have left more. */
  #neededIds(): Readonly<Partial<Record<ManyKind, ReadonlySet<string>>>> {
    const lineItems: readonly LineItem[] = [...this.#kept.lineItems.values()]
    const campaigns = new Set(lineItems.map(({ campaignId }) => campaignId))
    const creatives = new Set(lineItems.flatMap(({ creativeIds }) => creativeIds))
    const owned = [
      ...[...campaigns].map(id => this.#kept.campaigns.get(id)),
      ...[...creatives].map(id => this.#kept.creatives.get(id)),
    ]
    return { campaigns, creatives, advertisers: new Set(owned.map(each => each?.advertiserId ?? '')) }
  }
}

/** Most creatives are the same from one build to the next, and to render them was a fifth of its cost. */
function keepingRendered(render: RenderCreative): RenderCreative {
  const kept = new WeakMap<Creative, { readonly advertiser: Advertiser; readonly text: string }>()
  return (creative, advertiser) => {
    const known = kept.get(creative)
    if (known?.advertiser === advertiser) return known.text
    const text = render(creative, advertiser)
    kept.set(creative, { advertiser, text })
    return text
  }
}

function recordsOf({ put, with: carried }: Delta, kind: DocumentKindName, settings: Settings): readonly unknown[] {
  const records = [...(put[kind] ?? []), ...(carried[kind] ?? [])]
  return kind === 'settings' && records.length === 0 ? [settings] : records
}

/** Whether two values of JSON say the same. Cost: O(their size) */
function isEqual(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  const [ones, others] = [one as Record<string, unknown>, other as Record<string, unknown>]
  const names = Object.keys(ones)
  return names.length === Object.keys(others).length && names.every(name => isEqual(ones[name], others[name]))
}
