/** The last look at what a bid says of itself: advertiser, categories, app, language, frameworks, seat. Pure. */
import { isObject, type Json, listOf, numberOf, objectOf, textsOf } from './json.ts'

/** What a creative's bids say of it, see saidBy. */
export interface Said {
  readonly adomain: readonly string[]
  readonly cat?: readonly string[]
  readonly bundle?: string
  readonly language?: string
  readonly apis?: readonly number[]
  readonly ext?: { readonly dsa: { readonly adrender: number } }
}

/**
 * The first list of the request that a bid is at odds with, or undefined. What is compared are words as they came and
 * words as they go. Of very long lists the beginning is looked at, see LIMITS.listItemsMax.
 * @param said asked for only where the request has a list. Cost: O(words of the lists)
 */
export function brokenWord(request: Json, said: () => Said): string | undefined {
  if (request.badv !== undefined && coversDomain(request.badv, said().adomain)) return 'advertiser'
  if (numberOf(request.cattax, 1) === 1) {
    if (request.bcat !== undefined && coversCategory(request.bcat, said().cat)) return 'category'
    if (textsOf(request.acat).length > 0 && said().cat?.some(each => !coversCategory(request.acat, [each])))
      return 'category'
  }
  if (request.bapp !== undefined && textsOf(request.bapp).includes(said().bundle ?? '')) return 'app'
  const { dsa } = objectOf(objectOf(request.regs).ext)
  if (isObject(dsa) && hidesWhoPays(dsa, said().ext?.dsa)) return 'transparency'
  const languages = request.wlang ?? request.wlangb
  return languages !== undefined && !speaks(languages, said().language) ? 'language' : undefined
}

/** Whether nothing is told where it must be, or nobody or both would show it. */
function hidesWhoPays({ dsarequired, pubrender }: Json, told: NonNullable<Said['ext']>['dsa'] | undefined): boolean {
  if (told === undefined) return dsarequired === 2 || dsarequired === 3
  return (pubrender === 0 && told.adrender === 0) || (pubrender === 2 && told.adrender === 1)
}

/** Whether a framework is needed that the format does not have. @param format imp.banner, video, audio or native */
export function missesFramework(format: unknown, apis: readonly number[] | undefined): boolean {
  return apis?.some(api => !listOf(objectOf(format).api).includes(api)) ?? false
}

/** Whether the seat of a bid may not bid, on the request or in the deal. */
export function brokenSeat(request: Json, deal: unknown, seat: string): boolean {
  const isBarred = (seats: readonly string[]) => seats.length > 0 && !seats.includes(seat)
  if (isBarred(textsOf(request.wseat)) || (isObject(deal) && isBarred(textsOf(deal.wseat)))) return true
  return seat !== '' && textsOf(request.bseat).includes(seat)
}

/** Whether a list of domains names one of ours or one above it, in any case of letters; false for an empty list. */
export function coversDomain(list: unknown, domains: readonly string[]): boolean {
  const listed = listOf(list)
  for (let i = 0; i < listed.length; i++) {
    const each = listed[i]
    if (typeof each !== 'string' || each === '') continue
    for (let j = 0; j < domains.length; j++) if (domainIsIn(domains[j] as string, each)) return true
  }
  return false
}

/** The same for categories. Two loops because one with a callback takes twice the time of both. */
function coversCategory(list: unknown, categories: readonly string[] = []): boolean {
  const listed = listOf(list)
  for (let i = 0; i < listed.length; i++) {
    const each = listed[i]
    if (typeof each !== 'string') continue
    for (let j = 0; j < categories.length; j++) if (categoryIsIn(categories[j] as string, each)) return true
  }
  return false
}

const DOT = 46
const DASH = 45

/** Letters are compared only where a part of the domain is as long as the other. */
function domainIsIn(domain: string, listed: string): boolean {
  const before = domain.length - listed.length
  if (before !== 0 && (before < 0 || domain.charCodeAt(before - 1) !== DOT)) return false
  return domain.endsWith(listed.toLowerCase())
}

/** The same category or one above it. */
function categoryIsIn(category: string, listed: string): boolean {
  const length = listed.length
  if (length >= category.length) return category === listed
  return category.charCodeAt(length) === DASH && category.startsWith(listed)
}

/** What is in no language suits everybody, and a list without a text asks for nothing. Tags count by their language. */
function speaks(list: unknown, language: string | undefined): boolean {
  const listed = textsOf(list)
  if (language === undefined || listed.length === 0) return true
  return listed.some(each => each.split(/[-_]/, 1)[0]?.toLowerCase() === language)
}
