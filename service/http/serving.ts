/** What one bid thread serves: made when a catalog or an overlay is announced, dropped at the next. */
import { LayeredEngine } from '../decision/layered-engine.ts'
import type { Fragment } from '../openrtb/macro-values.ts'
import { dayNumber, hourOfWeek } from '../state/calendar.ts'
import { capWords, countedSubjects, type Identities } from '../state/cap-fields.ts'
import type { Catalog, CatalogHeader } from '../state/catalog.ts'
import { DIMENSION_NAMES, type DimensionName } from '../state/dimensions.ts'
import type { Exchange } from '../state/exchange-document.ts'
import { NO_STOPS, type StopList } from '../stop-list.ts'
import { CallerRule } from './caller-rule.ts'
import type { BidsTold, ServedCatalog } from './served-catalog.ts'

/** A catalog, what deltas have changed in it, and the hour. Used by one thread. */
export class Serving {
  readonly base: ServedCatalog
  readonly overlay: ServedCatalog | undefined
  readonly engine: LayeredEngine
  /** Settings, exchanges and rates as they are now: those of the overlay, where there is one. */
  readonly header: CatalogHeader
  /** What line items ask of a request, in either catalog. */
  readonly targeted: readonly DimensionName[]
  readonly slotsKnown: ReadonlyMap<number, unknown>
  readonly needsFrameworks: boolean
  /** Whether the tenant or an exchange may send only so many requests. */
  readonly hasQuotas: boolean
  /** Whom caps count, see countedSubjects; 0 = nobody asks who a request is about. */
  readonly capSubjects: number
  readonly #tenantCaps: readonly number[]
  readonly roadblocks: readonly string[]
  #lastExchange: Exchange | undefined
  readonly #exchanges: ReadonlyMap<string, Exchange>
  readonly #callers: ReadonlyMap<string, CallerRule>
  readonly #ownRate: ReadonlyMap<string, number>
  #stops: StopList = NO_STOPS
  #daypart = ''
  #day = 0
  #ratesAreOld = false

  /** @param base kept from before: then its overlay is replaced */
  constructor(base: ServedCatalog, nowMs: number, overlay?: ServedCatalog) {
    this.base = base
    this.overlay = overlay
    this.engine = new LayeredEngine(this.base.engine, this.overlay?.engine)
    const below = this.base.catalog.header
    this.header = overlay?.catalog.header ?? below
    this.targeted = joinedNames(below.targeted, this.header.targeted)
    this.slotsKnown = joinedSlots(below.slotValues, this.header.slotValues)
    this.needsFrameworks = below.needsFrameworks || this.header.needsFrameworks
    this.#tenantCaps = capWords('tenant', '', this.header.settings.frequencyCaps)
    this.capSubjects = countedSubjects(this.#tenantCaps) | base.capSubjects | (overlay?.capSubjects ?? 0)
    this.roadblocks = [...new Set([...below.roadblocks, ...this.header.roadblocks])]
    this.#exchanges = new Map(this.header.exchanges.map(exchange => [exchange.id, exchange]))
    this.#callers = new Map(
      this.header.exchanges.flatMap(({ id, callers }) => (callers ? [[id, new CallerRule(callers)] as const] : [])),
    )
    const { settings, exchanges } = this.header
    this.hasQuotas = [settings, ...exchanges].some(({ requestsPerS }) => requestsPerS !== undefined)
    this.#ownRate = new Map([[this.header.settings.currency, 1]])
    this.turnClock(nowMs)
  }

  /** Serves again, after another one was made of the same base and not taken. */
  resume(): void {
    this.engine.mask()
  }

  /** Takes in who a request is about. */
  identify(identities: Identities, monotonicMs: number): void {
    this.base.caps.begin(identities, monotonicMs, this.#tenantCaps)
    this.overlay?.caps.begin(identities, monotonicMs, this.#tenantCaps)
  }

  /** Bids since the last call. */
  takeBids(): BidsTold {
    return [...this.base.takeBids(), ...(this.overlay?.takeBids() ?? [])]
  }

  /** The one whose ordinals a bid has. */
  served(catalog: Catalog): ServedCatalog {
    return this.overlay?.catalog === catalog ? this.overlay : this.base
  }

  /** JSON members of a creative's bids as it is now; undefined where it is served no more. See ServedCatalog. */
  renditionOf(creativeId: string, rendition: number): Fragment | undefined {
    return this.overlay?.renditionOf(creativeId, rendition) ?? this.base.renditionOf(creativeId, rendition)
  }

  /** Drops markup that is kept as text; what wins is read anew from the arena. */
  forgetMarkup(): void {
    this.base.forgetMarkup()
    this.overlay?.forgetMarkup()
  }

  /** What is stopped by hand from now on. */
  stop(stops: StopList): void {
    this.#stops = stops
    this.base.stop(stops.lineItems, stops.campaigns)
    this.overlay?.stop(stops.lineItems, stops.campaigns)
  }

  /** Whether nothing is bid at an exchange, because somebody stopped it. */
  isStopped(exchangeId: string): boolean {
    return this.#stops.tenant || (this.#stops.exchanges.length > 0 && this.#stops.exchanges.includes(exchangeId))
  }

  /** The exchange of a path name, paused ones included. It is asked for twice a request, mostly as the time before. */
  exchange(id: string): Exchange | undefined {
    if (this.#lastExchange?.id !== id) this.#lastExchange = this.#exchanges.get(id)
    return this.#lastExchange
  }

  /** Who may call as an exchange; undefined: whoever reaches the port. */
  callerRule(id: string): CallerRule | undefined {
    return this.#callers.get(id)
  }

  /** Hour of the week in the tenant's time zone, as text. */
  get daypart(): string {
    return this.#daypart
  }

  /** Whole days since 1970 in the tenant's time zone. */
  get day(): number {
    return this.#day
  }

  /** Value of one unit of a currency in the ledger currency: of this one alone once the rates are too old. */
  get rates(): ReadonlyMap<string, number> {
    return this.#ratesAreOld ? this.#ownRate : this.header.rates
  }

  /** To be called at least once a second; formatting a date is too slow for the bid path. */
  turnClock(nowMs: number): void {
    this.#daypart = String(hourOfWeek(nowMs, this.header.settings.timeZone))
    this.#day = dayNumber(nowMs, this.header.settings.timeZone)
    this.#ratesAreOld = nowMs >= this.header.ratesEndMs
  }
}

/** The very list of the base where it has all: readers of requests are made once per list. */
function joinedNames(base: readonly DimensionName[], overlay: readonly DimensionName[]): readonly DimensionName[] {
  if (overlay.every(name => base.includes(name))) return base
  return DIMENSION_NAMES.filter(name => base.includes(name) || overlay.includes(name))
}

function joinedSlots(base: CatalogHeader['slotValues'], overlay: CatalogHeader['slotValues']): typeof base {
  for (const slot of overlay.keys()) if (!base.has(slot)) return new Map([...base, ...overlay])
  return base
}
