/**
 * What the fields alone cannot say: rules between the fields of one record, and between records. Each rule appends
 * problems with their remedies and changes nothing else. JSON Schema cannot express these.
 */
import type { Budget, Pacing } from './budget-fields.ts'
import type { Creative, NativeCreative, VastCreative } from './creative-document.ts'
import type { DimensionName, ListedDimension } from './dimensions.ts'
import type { Campaign, DOCUMENT_KINDS, DocumentKindName, LineItem, Rates, Targeting } from './documents.ts'
import { listIdsOf } from './expressions.ts'
import { type Problem, problem, type TypeOf } from './fields.ts'
import { checkListValues, type ListPart } from './lists.ts'
import { checkMacros } from './macros.ts'

/** The TypeScript type of one record of a kind. */
export type DocumentOf<K extends DocumentKindName> = TypeOf<(typeof DOCUMENT_KINDS)[K]['field']>

/** Records read so far, for the rules between records. */
export interface KnownRecords {
  /** The tenant's currency, '' while its settings are missing or refused. */
  readonly currency: string
  /** Good records: id → advertiser id for campaigns and creatives, dimension for lists, '' for other kinds. */
  readonly good: { readonly [K in DocumentKindName]: ReadonlyMap<string, string> }
  /** Refused records: id → where they are, such as `campaigns.json[3]`. */
  readonly refused: { readonly [K in DocumentKindName]: ReadonlyMap<string, string> }
}

type Rule<K extends DocumentKindName> = (document: DocumentOf<K>, known: KnownRecords, found: Problem[]) => void

/** The rules of each kind, called only with records whose fields are all good. Cost: O(size of the record). */
export const RULES: { readonly [K in DocumentKindName]: Rule<K> } = {
  settings: () => {},
  rates: checkRates,
  exchanges: () => {},
  advertisers: () => {},
  campaigns: checkCampaign,
  creatives: checkCreative,
  lists: () => {},
  listParts: checkListPart,
  lineItems: checkLineItem,
}

function checkRates({ rates }: Rates, { currency }: KnownRecords, found: Problem[]): void {
  const own = rates[currency]
  if (own !== undefined && own !== 1)
    found.push(problem(`rates.${currency}`, own, "must be 1 or left out: it is the tenant's own currency"))
}

function checkCampaign(campaign: Campaign, known: KnownRecords, found: Problem[]): void {
  checkReference({ kind: 'advertisers', id: campaign.advertiserId, path: 'advertiserId' }, known, found)
  if (campaign.flight !== undefined) checkFlight(campaign.flight, found)
  checkBudget(campaign, campaign.flight, found)
}

function checkFlight(flight: { readonly start?: string; readonly end?: string }, found: Problem[]): void {
  if (flight.start === undefined || flight.end === undefined) return
  if (Date.parse(flight.end) <= Date.parse(flight.start))
    found.push(problem('flight.end', flight.end, `must be after the start, ${flight.start}`))
}

/** @param flight the record's own: pacing over all of its time needs both ends */
function checkBudget(
  { budget, pacing }: { readonly budget?: Budget; readonly pacing?: Pacing },
  flight: { readonly start?: string; readonly end?: string } | undefined,
  found: Problem[],
): void {
  if (budget !== undefined && budget.total === undefined && budget.daily === undefined)
    found.push(problem('budget', budget, 'must have a total or daily amount'))
  if (pacing === undefined) return
  if (budget === undefined)
    found.push(problem('pacing', pacing, 'needs a budget to spend along it; add one or remove it'))
  const { plan, weights } = pacing
  if (plan === 'custom' && !weights?.some(weight => weight > 0))
    found.push(problem('pacing.weights', weights, 'must be the shares of a custom plan, not all of them 0'))
  if (plan !== 'custom' && weights !== undefined)
    found.push(problem('pacing.weights', weights, 'needs plan "custom"; remove one or change the other'))
  if (plan === 'asap' || budget === undefined || budget.daily !== undefined) return
  if (flight?.start === undefined || flight.end === undefined)
    found.push(problem('flight', flight, `must have a start and an end: the plan "${plan}" spends the total over them`))
}

const SINGULAR: Readonly<Record<DocumentKindName, string>> = {
  settings: 'settings',
  rates: 'rates',
  exchanges: 'exchange',
  advertisers: 'advertiser',
  campaigns: 'campaign',
  creatives: 'creative',
  lists: 'list',
  listParts: 'part of a list',
  lineItems: 'line item',
}

interface Reference {
  readonly kind: DocumentKindName
  readonly id: string
  /** Where the id stands in the record that refers. */
  readonly path: string
}

/** @returns whether the record is there; otherwise a problem was appended. */
function checkReference({ kind, id, path }: Reference, known: KnownRecords, found: Problem[]): boolean {
  if (known.good[kind].has(id)) return true
  const refused = known.refused[kind].get(id)
  const remedy =
    refused === undefined
      ? `must be the id of ${/^[aeiou]/.test(kind) ? 'an' : 'a'} ${SINGULAR[kind]}; there is none with this id`
      : `names ${refused}, which is refused; repair that first`
  found.push(problem(path, id, remedy))
  return false
}

/** Something that a page would fetch without TLS: src=http:, url(http:). Links that a person follows do not count. */
const INSECURE_LOAD = /(?:\b(?:src|srcset|poster|data)\s*=\s*["']?|\burl\(\s*["']?)\s*http:\/\//i

function checkCreative(creative: Creative, known: KnownRecords, found: Problem[]): void {
  checkReference({ kind: 'advertisers', id: creative.advertiserId, path: 'advertiserId' }, known, found)
  for (const id of Object.keys(creative.approvals ?? {}))
    checkReference({ kind: 'exchanges', id, path: `approvals.${id}` }, known, found)
  checkMacros(creative, found)
  if (creative.format === 'banner') {
    const { content } = creative
    if (content.kind === 'image' && !content.mime.startsWith('image/'))
      found.push(problem('content.mime', content.mime, 'must be an image type, like "image/png"'))
    if (content.kind === 'html' && creative.secure && INSECURE_LOAD.test(content.html)) {
      const remedy = 'must be false, or the markup must load everything over https: it names http://'
      found.push(problem('secure', true, remedy))
    }
    return
  }
  if (creative.format === 'native') checkNative(creative, found)
  else checkVast(creative, found)
}

function checkNative({ assets }: NativeCreative, found: Problem[]): void {
  for (let i = 0; i < assets.length; i++) {
    const asset = assets[i]
    if (asset?.kind === 'image' && !asset.mime.startsWith('image/'))
      found.push(problem(`assets[${i}].mime`, asset.mime, 'must be an image type, like "image/png"'))
  }
}

function checkVast(creative: VastCreative, found: Problem[]): void {
  const { skipAfterS, durationS, vastVersion, olderVastVersions = [], mediaFiles, wrapper, companions = [] } = creative
  if (skipAfterS !== undefined && skipAfterS >= durationS)
    found.push(problem('skipAfterS', skipAfterS, `must be less than durationS, ${durationS}; leave it out for no skip`))
  for (let i = 0; i < olderVastVersions.length; i++)
    if ((olderVastVersions[i] ?? '') >= vastVersion)
      found.push(problem(`olderVastVersions[${i}]`, olderVastVersions[i], `must be before vastVersion, ${vastVersion}`))
  if ((wrapper === undefined) === (mediaFiles.length === 0))
    found.push(problem('mediaFiles', mediaFiles.length, 'must name files, or none where there is a wrapper'))
  for (let i = 0; i < mediaFiles.length; i++) checkMedia(creative, `mediaFiles[${i}].mime`, mediaFiles[i]?.mime, found)
  for (let i = 0; i < (wrapper?.mimes.length ?? 0); i++)
    checkMedia(creative, `wrapper.mimes[${i}]`, wrapper?.mimes[i], found)
  for (let i = 0; i < companions.length; i++) {
    const content = companions[i]?.content
    if (content?.kind === 'image' && !content.mime.startsWith('image/'))
      found.push(problem(`companions[${i}].content.mime`, content.mime, 'must be an image type, like "image/png"'))
  }
}

function checkMedia({ format }: VastCreative, path: string, mime = '', found: Problem[]): void {
  if (mime.startsWith(`${format}/`) || STREAM_MIMES.has(mime)) return
  const like = format === 'video' ? 'a video type, like "video/mp4"' : 'an audio type, like "audio/mpeg"'
  found.push(problem(path, mime, `must be ${like}`))
}

/** Playlists that are not named for what they hold. */
const STREAM_MIMES: ReadonlySet<string> = new Set(['application/x-mpegURL', 'application/dash+xml'])

function checkLineItem(lineItem: LineItem, known: KnownRecords, found: Problem[]): void {
  const { campaignId, flight, targeting, creativeIds } = lineItem
  if (flight !== undefined) checkFlight(flight, found)
  checkBudget(lineItem, flight, found)
  if (lineItem.creativeWeights !== undefined) checkWeights(lineItem, found)
  if (lineItem.roadblock === true && lineItem.deals !== undefined)
    found.push(
      problem('roadblock', true, 'must be left out of a line item with deals: a roadblock is of the open auction'),
    )
  checkTargeting(targeting, known, found)
  const campaignIsThere = checkReference({ kind: 'campaigns', id: campaignId, path: 'campaignId' }, known, found)
  const advertiserId = known.good.campaigns.get(campaignId)
  for (let i = 0; i < creativeIds.length; i++) {
    const id = creativeIds[i] ?? ''
    const owner = known.good.creatives.get(id)
    if (owner === undefined) checkReference({ kind: 'creatives', id, path: `creativeIds[${i}]` }, known, found)
    else if (campaignIsThere && owner !== advertiserId) {
      const remedy = `must be a creative of advertiser ${advertiserId}, the campaign's; this one is of ${owner}`
      found.push(problem(`creativeIds[${i}]`, id, remedy))
    }
  }
}

function checkWeights({ creativeChoice, creativeWeights = {}, creativeIds }: LineItem, found: Problem[]): void {
  const names = Object.keys(creativeWeights)
  if (names.length > 0 && creativeChoice !== 'weighted')
    found.push(
      problem('creativeWeights', creativeWeights, 'needs creativeChoice "weighted"; remove one or add the other'),
    )
  for (const id of names)
    if (!creativeIds.includes(id)) found.push(problem(`creativeWeights.${id}`, id, 'must be one of creativeIds'))
}

function checkListPart({ listId, values }: ListPart, known: KnownRecords, found: Problem[]): void {
  if (!checkReference({ kind: 'lists', id: listId, path: 'listId' }, known, found)) return
  checkListValues(values, known.good.lists.get(listId) as ListedDimension, found)
}

/** Lists in a rule are of the rule's dimension; those in an expression may be of any. */
function checkLists(targeting: Targeting, known: KnownRecords, found: Problem[]): void {
  for (const name in targeting)
    for (const side of ['includeLists', 'excludeLists'] as const) {
      // Only rules of listed dimensions can have lists.
      const ids = targeting[name as ListedDimension]?.[side] ?? []
      for (let i = 0; i < ids.length; i++) {
        const [id, path] = [ids[i] ?? '', `targeting.${name}.${side}[${i}]`]
        const dimension = known.good.lists.get(id)
        if (dimension === undefined) checkReference({ kind: 'lists', id, path }, known, found)
        else if (dimension !== name)
          found.push(problem(path, id, `must be a list of ${name}; this one is of ${dimension}`))
      }
    }
  if (targeting.expression === undefined) return
  for (const id of listIdsOf(targeting.expression))
    checkReference({ kind: 'lists', id, path: 'targeting.expression' }, known, found)
}

function checkTargeting(targeting: Targeting, known: KnownRecords, found: Problem[]): void {
  for (const key in targeting) {
    const name = key as DimensionName
    const include = targeting[name]?.include
    const exclude = targeting[name]?.exclude
    if (include !== undefined && exclude !== undefined) checkDisjoint(name, include, exclude, found)
  }
  checkLists(targeting, known, found)
  checkExchanges('include', targeting.exchange?.include, known, found)
  checkExchanges('exclude', targeting.exchange?.exclude, known, found)
}

type Values = readonly (string | number)[]

/** Cost: O(include + exclude). */
function checkDisjoint(name: DimensionName, include: Values, exclude: Values, found: Problem[]): void {
  const included = new Set(include)
  for (let i = 0; i < exclude.length; i++) {
    const value = exclude[i]
    if (value !== undefined && included.has(value))
      found.push(problem(`targeting.${name}.exclude[${i}]`, value, 'is in include too; remove it from one of them'))
  }
}

/** An exclusion of a misspelt exchange would bid where it must not, so both lists are checked. */
function checkExchanges(
  side: 'include' | 'exclude',
  ids: readonly string[] | undefined,
  known: KnownRecords,
  found: Problem[],
): void {
  if (ids === undefined) return
  for (let i = 0; i < ids.length; i++)
    checkReference({ kind: 'exchanges', id: ids[i] ?? '', path: `targeting.exchange.${side}[${i}]` }, known, found)
}
