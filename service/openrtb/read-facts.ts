/** Reads what all impressions of a bid request have in common into the engine's words. */
import { type Facts, type FactValue, TRANSPARENCY_ASKED } from '../decision/opportunity.ts'
import { LIMITS } from '../limits.ts'
import type { SegmentLookup } from '../state/audience-reader.ts'
import { type DimensionName, dimensionOf, REQUEST_DIMENSIONS } from '../state/dimensions.ts'
import { countryFrom, languageCode } from '../state/vocabulary.ts'
import { CONTENT_CATEGORY_1, FACT_READERS, type FactSource } from './fact-readers.ts'
import { isObject, type Json, numberOf, objectOf, textOf, textsOf } from './json.ts'
import type { Agent, ReadAgent } from './user-agent.ts'

/** What reading facts needs to know beside the request. */
export interface FactTerms {
  /** Path name of the exchange that asks. */
  readonly exchangeId: string
  /** Hour of the week in the tenant's time zone, as text. */
  readonly daypart: string
  readonly nowMs: number
  /** Whether data about the person may be used. */
  readonly personal: boolean
  /** The dimensions that are read; the others stay unknown. */
  readonly targeted: readonly DimensionName[]
  /** What the tenant knows of users. */
  readonly audience?: SegmentLookup | undefined
  readonly readAgent: ReadAgent
}

const UNKNOWN: readonly FactValue[] = REQUEST_DIMENSIONS.map(name =>
  dimensionOf(name).many === true ? Object.freeze([]) : '',
)
const READINGS = new Map(
  REQUEST_DIMENSIONS.map((name, position) => [
    name as DimensionName,
    { position, personal: dimensionOf(name).personal === true, read: FACT_READERS[name] },
  ]),
)

type Reading = NonNullable<ReturnType<typeof READINGS.get>>
/** Every request of one catalog asks with the same list. */
const readingsByList = new WeakMap<readonly DimensionName[], readonly Reading[]>()

function readingsOf(targeted: readonly DimensionName[]): readonly Reading[] {
  const known = readingsByList.get(targeted)
  if (known !== undefined) return known
  const readings = targeted.flatMap(name => READINGS.get(name) ?? [])
  readingsByList.set(targeted, readings)
  return readings
}

/** @returns normalised facts; what is missing or malformed is unknown. Pure. Cost: O(what is targeted and given). */
export function readFacts(request: Json, terms: FactTerms): Facts {
  const values = UNKNOWN.slice()
  const source = sourceOf(request, terms)
  for (const reading of readingsOf(terms.targeted))
    if (!reading.personal || terms.personal) values[reading.position] = reading.read(source)
  return {
    values,
    exchangeId: terms.exchangeId,
    userId: terms.personal ? userIdOf(source) : '',
    blockedDomains: lowerCase(textsOf(request.badv, LIMITS.blockedItemsMax)),
    blockedCategories: textsOf(request.bcat, LIMITS.blockedItemsMax),
    blockedApps: textsOf(request.bapp, LIMITS.blockedItemsMax),
    allowedCategories: textsOf(request.acat),
    allowedLanguages: languagesOf(request),
    transparency: transparencyOf(request),
  }
}

function sourceOf(request: Json, terms: FactTerms): FactSource {
  const site = objectOf(request.site)
  const app = objectOf(request.app)
  const dooh = objectOf(request.dooh)
  const device = objectOf(request.device)
  // Of a person whose data may not be used, nothing is read: neither interests nor where the home is.
  const user = terms.personal ? objectOf(request.user) : objectOf(undefined)
  const inventory = isObject(request.site)
    ? 'site'
    : isObject(request.app)
      ? 'app'
      : isObject(request.dooh)
        ? 'dooh'
        : ''
  const place = inventory === 'site' ? site : inventory === 'app' ? app : dooh
  const geo = objectOf(device.geo ?? user.geo)
  return {
    exchangeId: terms.exchangeId,
    daypart: terms.daypart,
    nowMs: terms.nowMs,
    audience: terms.audience,
    site,
    app,
    inventory,
    place,
    content: objectOf(place.content),
    device,
    geo,
    country: countryFrom(textOf(geo.country)),
    user,
    sua: objectOf(device.sua),
    agent: new AgentText(device.ua, terms.readAgent),
  }
}

/** A device without an advertising id sends zeros. */
const NO_IFA = /^[0-]*$/

/** The id that is the most lasting here: ours at this exchange, the exchange's own, the device's. */
function userIdOf({ user, device }: FactSource): string {
  const ifa = textOf(device.ifa)
  return textOf(user.buyeruid) || textOf(user.id) || (NO_IFA.test(ifa) ? '' : ifa)
}

/** Reads the user agent when it is asked for, which most requests are not. */
class AgentText {
  readonly #text: unknown
  readonly #read: ReadAgent
  #agent: Agent | undefined

  constructor(text: unknown, read: ReadAgent) {
    this.#text = text
    this.#read = read
  }

  get(): Agent {
    this.#agent ??= typeof this.#text === 'string' ? this.#read(this.#text) : NO_AGENT
    return this.#agent
  }
}

const NO_AGENT: Agent = Object.freeze({ browser: '', os: '', osVersion: '' })

const ANY_LANGUAGE: readonly number[] = Object.freeze([])

/** Codes of wlang, or of the languages of wlangb's tags. A list of words that are no languages allows none of ours. */
function languagesOf({ wlang, wlangb }: Json): readonly number[] {
  if (wlang === undefined && wlangb === undefined) return ANY_LANGUAGE
  const listed = textsOf(wlang)
  if (listed.length > 0) return listed.map(text => languageCode(text.toLowerCase()))
  return textsOf(wlangb).map(tag => languageCode((tag.split(/[-_]/, 1)[0] as string).toLowerCase()))
}

/**
 * What is asked of who pays for an ad: bits of TRANSPARENCY_ASKED. OpenRTB extension for the EU's Digital Services Act:
 * dsarequired 2 and 3, pubrender 0 (the page cannot show it) and 2 (it will).
 */
function transparencyOf({ regs }: Json): number {
  const { dsa } = objectOf(objectOf(regs).ext)
  if (!isObject(dsa)) return 0
  const told = dsa.dsarequired === 2 || dsa.dsarequired === 3 ? TRANSPARENCY_ASKED.told : 0
  if (dsa.pubrender === 0) return told | TRANSPARENCY_ASKED.rendered
  return dsa.pubrender === 2 ? told | TRANSPARENCY_ASKED.notRendered : told
}

/** Whether categories are blocked, or allowed, in a taxonomy that ours can be compared with. */
export function blocksKnownCategories(request: Json): boolean {
  if (textsOf(request.bcat).length === 0 && textsOf(request.acat).length === 0) return true
  return numberOf(request.cattax, CONTENT_CATEGORY_1) === CONTENT_CATEGORY_1
}

function lowerCase(texts: readonly string[]): readonly string[] {
  return texts.length === 0 ? texts : texts.map(text => text.toLowerCase())
}
