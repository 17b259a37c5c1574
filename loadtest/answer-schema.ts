/** JSON Schema of the answers that one bid request allows: what the schema of the specification cannot know. */
import {
  isObject,
  type Json,
  numberFrom,
  numbersFrom,
  objectFrom,
  objectsFrom,
  textFrom,
  textsFrom,
} from './acceptance-rules.ts'

/** A JSON Schema, draft 2020-12. */
export type Schema = Readonly<Record<string, unknown>>

/** What prices are in. */
export interface Money {
  /** Of the answer. */
  readonly currency: string
  /** What one unit of each currency is worth, in any common currency. */
  readonly rates: Readonly<Record<string, number>> | undefined
  /** Of answers to requests that name none. */
  readonly agreed: string
}

const PRICE_TOLERANCE = 1e-9
const FORMATS = ['banner', 'video', 'audio', 'native'] as const
const BIDS: Schema = { required: ['seatbid'], properties: { seatbid: { minItems: 1 } } }
/** An enum has to hold something; no impression has this id, because ids are not empty. */
const UNNAMED = ''

/** Where the one holds, the other has to. (An object with a field `then` would be taken for a promise.) */
function implies(condition: Schema, consequence: Schema): Schema {
  return { if: { not: condition }, else: consequence }
}

/**
 * The schema of answers to one request, whatever it holds; sections of OpenRTB 2.6 stand beside what they ask. Cost:
 * O(size of the request).
 */
export function answerSchema(request: Json, money: Money): Schema {
  const currencies = textsFrom(request.cur)
  const allowed = currencies.length > 0 ? currencies : [money.agreed]
  const imps = grouped(objectsFrom(request.imp).filter(imp => textFrom(imp.id) !== undefined))
  return {
    properties: {
      // 4.2.1: the id of the request; and 3.2.1: the currencies that it allows, the agreed one where it names none.
      id: { const: request.id },
      cur: { enum: allowed },
      seatbid: {
        items: { ...seatSchema(request), properties: { bid: { items: bidSchema() }, ...seatNames(request) } },
      },
    },
    ...(allowed.includes('USD') ? {} : implies(BIDS, { required: ['cur'] })),
  }

  function bidSchema(): Schema {
    return {
      properties: { impid: { enum: [...imps.map(([imp]) => imp?.id), UNNAMED] }, ...wordsOf(request) },
      // An empty list would be no schema. Only a malformed request has an id twice: then one of the two is enough.
      allOf: [
        {},
        ...imps.map(sameId => {
          const isOfIt = { properties: { impid: { const: sameId[0]?.id } } }
          return implies(isOfIt, { anyOf: sameId.map(imp => impSchema(imp, money)) })
        }),
      ],
      ...(dsaIsNeeded(request) ? { required: ['ext'] } : {}),
    }
  }
}

/** 3.2.1: wseat lists the seats that may bid, bseat those that may not. */
function seatSchema(request: Json): Schema {
  return textsFrom(request.wseat).length > 0 ? { required: ['seat'] } : {}
}

function seatNames(request: Json): Schema {
  const allowed = textsFrom(request.wseat)
  const blocked = textsFrom(request.bseat)
  const parts: Schema[] = []
  if (allowed.length > 0) parts.push({ enum: allowed })
  if (blocked.length > 0) parts.push({ not: { enum: blocked } })
  return parts.length > 0 ? { seat: { allOf: parts } } : {}
}

/** 3.2.1: what the request says about all bids: blocked advertisers, categories and apps, allowed languages. */
function wordsOf(request: Json): Schema {
  const blockedDomains = textsFrom(request.badv).map(domain => `(^|\\.)${RegExp.escape(domain.toLowerCase())}$`)
  const listed = textsFrom(request.wlang)
  // wlangb has IETF tags, of which a bid's language is the first part.
  const tags = listed.length > 0 ? listed : textsFrom(request.wlangb).map(tag => tag.split('-', 1)[0] ?? tag)
  const languages = tags.map(tag => tag.toLowerCase())
  const apps = textsFrom(request.bapp)
  return {
    ...(blockedDomains.length > 0 ? { adomain: { items: { not: patternOf(blockedDomains) } } } : {}),
    ...categorySchema(request),
    ...(languages.length > 0 ? { language: { enum: languages } } : {}),
    ...(apps.length > 0 ? { bundle: { not: { enum: apps } } } : {}),
  }
}

/** 3.2.1: bcat and acat in the taxonomy of cattax. Ours are of Content Category Taxonomy 1.0: IAB1-2 is of IAB1. */
function categorySchema(request: Json): Schema {
  if (request.cattax !== undefined && request.cattax !== 1) return {}
  const within = (categories: readonly string[]) => patternOf(categories.map(each => `^${RegExp.escape(each)}(-|$)`))
  const blocked = textsFrom(request.bcat)
  const allowed = textsFrom(request.acat)
  const parts: Schema[] = []
  if (blocked.length > 0) parts.push({ not: within(blocked) })
  if (allowed.length > 0) parts.push(within(allowed))
  return parts.length > 0 ? { cat: { items: { allOf: parts } } } : {}
}

function dsaIsNeeded(request: Json): boolean {
  const needed = objectFrom(objectFrom(objectFrom(request.regs).ext).dsa).dsarequired
  return needed === 2 || needed === 3
}

/** 3.2.4: what one impression takes. */
function impSchema(imp: Json, money: Money): Schema {
  const offered = FORMATS.flatMap((format, i) => (isObject(imp[format]) ? [[format, i + 1] as const] : []))
  const pmp = objectFrom(imp.pmp)
  const deals = objectsFrom(pmp.deals).filter(deal => textFrom(deal.id) !== undefined)
  return {
    properties: {
      // Without an mtype nobody can tell which format a bid is for, so it has to be there.
      mtype: { enum: [...offered.map(([, mtype]) => mtype), 0] },
      dealid: { enum: [...new Set(deals.map(deal => deal.id)), UNNAMED] },
    },
    required: ['mtype', ...(pmp.private_auction === 1 ? ['dealid'] : [])],
    allOf: [
      implies({ not: { required: ['dealid'] } }, floorSchema(imp, money)),
      ...grouped(deals).map(sameId => dealSchema(sameId, imp, money)),
      ...offered.map(([format, mtype]) =>
        implies({ properties: { mtype: { const: mtype } } }, formatSchema(format, objectFrom(imp[format]))),
      ),
    ],
  }
}

/**
 * 3.2.12: a deal's own floor, and its advertisers; one without a floor is under the impression's (guide, 7.11). An id
 * that comes twice, which it should not, may stand for either.
 */
function dealSchema(sameId: readonly Json[], imp: Json, money: Money): Schema {
  const terms = sameId.map(deal => {
    const domains = textsFrom(deal.wadomain).map(domain => `(^|\\.)${RegExp.escape(domain.toLowerCase())}$`)
    const wanted = domains.length > 0 ? { properties: { adomain: { contains: patternOf(domains) } } } : {}
    return { allOf: [floorSchema(numberFrom(deal.bidfloor) === undefined ? imp : deal, money), wanted] }
  })
  return implies({ required: ['dealid'], properties: { dealid: { const: sameId[0]?.id } } }, { anyOf: terms })
}

/** A floor by length comes before it (guide, 7.11), and is left to the first judge. */
function floorSchema(owner: Json, { currency, rates }: Money): Schema {
  const byLength = (format: unknown): boolean =>
    objectFrom(format).mincpmpersec !== undefined || objectFrom(format).durfloors !== undefined
  const floor = numberFrom(owner.bidfloor) ?? 0
  if (floor <= 0) return {}
  if (byLength(owner) || byLength(owner.video) || byLength(owner.audio)) return {}
  const from = textFrom(owner.bidfloorcur) ?? 'USD'
  const rate = from === currency ? 1 : (rates?.[from] ?? Number.NaN) / (rates?.[currency] ?? Number.NaN)
  const minimum = floor * rate * (1 - PRICE_TOLERANCE)
  if (Number.isFinite(minimum)) return { properties: { price: { minimum } } }
  // Without rates it cannot be judged; with rates, a floor that cannot be converted leaves no bid.
  return rates === undefined ? {} : { properties: { price: false } }
}

/** 3.2.6 to 3.2.9: what one format of the impression takes. */
function formatSchema(format: (typeof FORMATS)[number], offer: Json): Schema {
  const blocked = numbersFrom(offer.battr)
  const common = {
    ...(blocked.length > 0 ? { attr: { items: { not: { enum: blocked } } } } : {}),
    // An API that is not listed is taken not to be supported.
    apis: { items: { enum: [...numbersFrom(offer.api), -1] } },
  }
  if (format === 'banner') return { properties: common, ...sizeSchema(offer) }
  if (format === 'native') return { properties: common }
  return { properties: { ...common, ...lengthSchema(offer), ...protocolSchema(offer) } }
}

/** 3.2.6 and 3.2.10: one of the sizes, unless the place has none or goes by ratio. */
function sizeSchema(banner: Json): Schema {
  const formats = objectsFrom(banner.format)
  if (formats.some(({ wratio, hratio }) => wratio !== undefined || hratio !== undefined)) return {}
  const sizes = [banner, ...formats].filter(({ w, h }) => typeof w === 'number' && typeof h === 'number')
  if (sizes.length === 0) return {}
  return {
    anyOf: sizes.map(({ w, h }) => ({ required: ['w', 'h'], properties: { w: { const: w }, h: { const: h } } })),
  }
}

/** 3.2.7: exact lengths, or a range. */
function lengthSchema({ rqddurs, minduration, maxduration }: Json): Schema {
  const exact = numbersFrom(rqddurs)
  if (exact.length > 0) return { dur: { enum: exact } }
  return {
    dur: {
      ...(numberFrom(minduration) === undefined ? {} : { minimum: minduration }),
      ...(numberFrom(maxduration) === undefined ? {} : { maximum: maxduration }),
    },
  }
}

function protocolSchema({ protocols, protocol }: Json): Schema {
  const listed = numbersFrom(protocols)
  if (listed.length > 0) return { protocol: { enum: listed } }
  return typeof protocol === 'number' && protocol > 0 ? { protocol: { const: protocol } } : {}
}

function patternOf(alternatives: readonly string[]): Schema {
  return { type: 'string', pattern: alternatives.map(each => `(?:${each})`).join('|') }
}

/** Objects with the same id together, in the order in which the ids come first. Cost: O(objects). */
function grouped(objects: readonly Json[]): readonly (readonly Json[])[] {
  const byId = new Map<unknown, Json[]>()
  for (const object of objects) {
    const same = byId.get(object.id)
    if (same === undefined) byId.set(object.id, [object])
    else if (!same.some(other => JSON.stringify(other) === JSON.stringify(object))) same.push(object)
  }
  return [...byId.values()]
}
