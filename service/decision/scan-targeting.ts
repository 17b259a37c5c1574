/** The naive engine's targeting: reads rules and facts as they are written. Shares no code with the index. */
import { hoursOfDaypart } from '../state/dayparts.ts'
import { type DimensionName, IMPRESSION_DIMENSIONS, REQUEST_DIMENSIONS } from '../state/dimensions.ts'
import type { Targeting } from '../state/documents.ts'
import { type Expression, termOf } from '../state/expressions.ts'
import { splitHash, splitPart, type UserSplit } from '../state/user-split.ts'
import { type Finding, side } from './finding.ts'
import type { Facts, FactValue, Opportunity } from './opportunity.ts'

/** Every rule of a targeting that leaves the opportunity out. Pure. Cost: O(its values × those of the request). */
export function* targetingFindings(targeting: Targeting, asked: Asked): Generator<Finding, void, undefined> {
  for (const key in targeting) {
    if (key === 'userSplit' || key === 'expression') continue
    const name = key as DimensionName
    const rule: Rule | undefined = targeting[name]
    if (rule !== undefined) yield* ruleFindings(name, rule, asked)
  }
  const { userSplit, expression } = targeting
  if (userSplit !== undefined && !isInSplit(userSplit, asked.facts)) yield splitFinding(userSplit, asked.facts)
  if (expression !== undefined) yield* expressionFindings(expression, asked)
}

function* ruleFindings(name: DimensionName, rule: Rule, asked: Asked): Generator<Finding, void, undefined> {
  const { include = NONE, includeLists = NONE, all = NONE, exclude = NONE, excludeLists = NONE } = rule
  const fact = factOf(name, asked)
  const has = (value: unknown) => factHas(name, fact, String(value))
  const isIn = (list: string) => isInList(list, asked)
  const isOpen = include.length + includeLists.length === 0
  if (!isOpen && !include.some(has) && !includeLists.some(isIn))
    yield missed(name, side('wants one of', ...include, ...includeLists.map(listName)), fact)
  if (!all.every(has)) yield missed(name, side('wants all of', ...all), fact)
  if (exclude.some(has) || excludeLists.some(isIn)) {
    const hit = [...exclude.filter(has), ...excludeLists.filter(isIn).map(listName)]
    yield missed(name, side('wants none of', ...hit), fact)
  }
}

/** What holds together is told apart; anything else is told as it is written. */
function* expressionFindings(expression: Expression, asked: Asked): Generator<Finding, void, undefined> {
  if (holds(expression, asked)) return
  if ('and' in expression) {
    for (const part of expression.and) yield* expressionFindings(part, asked)
    return
  }
  const given = [...new Set(namesIn(expression, asked))].map(name => `${name} ${factText(name, factOf(name, asked))}`)
  const ours = side('wants', expressionText(expression))
  yield { reason: 'no-eligible-line-item', what: 'expression', ours, theirs: side('request has', ...given) }
}

function missed(name: DimensionName, ours: Finding['ours'], fact: FactValue): Finding {
  const theirs = side('request has', ...(typeof fact !== 'string' ? fact : fact === '' ? NONE : [factText(name, fact)]))
  return { reason: 'no-eligible-line-item', what: name, ours, theirs }
}

function splitFinding(split: UserSplit, { userId }: Facts): Finding {
  const part = userId === '' ? 'no user id that may be used' : splitPart(splitHash(split.salt), splitHash(userId))
  const ours = side('wants users from', `${split.from} to ${split.to} of ${split.salt}`)
  return { reason: 'no-eligible-line-item', what: 'userSplit', ours, theirs: side('request has', part) }
}

const DAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

function factText(name: DimensionName, fact: FactValue): string {
  if (fact.length === 0) return 'unknown'
  if (typeof fact !== 'string') return fact.join(', ')
  if (name !== 'daypart' && name !== 'viewerDaypart') return fact
  const hour = Number(fact)
  return `${DAYS[Math.floor(hour / 24)]} ${String(hour % 24).padStart(2, '0')} h`
}

function expressionText(expression: Expression): string {
  const term = termOf(expression)
  switch (term.word) {
    case 'and':
    case 'or':
      return `(${term.parts.map(expressionText).join(` ${term.word} `)})`
    case 'not':
      return `not ${expressionText(term.part)}`
    case 'userSplit':
      return `users from ${term.split.from} to ${term.split.to} of ${term.split.salt}`
    case 'list':
      return `one of ${term.ids.map(listName).join(', ')}`
    case 'values':
      return `${term.name} one of ${term.values.join(', ')}`
  }
}

function namesIn(expression: Expression, asked: Asked): readonly DimensionName[] {
  const term = termOf(expression)
  if (term.word === 'and' || term.word === 'or') return term.parts.flatMap(part => namesIn(part, asked))
  if (term.word === 'not') return namesIn(term.part, asked)
  if (term.word === 'list') return term.ids.flatMap(id => asked.lists.get(id)?.dimension ?? [])
  return term.word === 'values' ? [term.name] : []
}

const listName = (id: string) => `list ${id}`

interface Rule {
  readonly include?: readonly (string | number)[]
  readonly all?: readonly (string | number)[]
  readonly exclude?: readonly (string | number)[]
  readonly includeLists?: readonly string[]
  readonly excludeLists?: readonly string[]
}

const NONE: readonly never[] = []

/** What targeting is asked about. */
export interface Asked {
  /** By their ids. */
  readonly lists: ReadonlyMap<string, NamedList>
  readonly facts: Facts
  readonly opportunity: Opportunity
}

/** A list with the values of all its parts. */
export interface NamedList {
  readonly dimension: DimensionName
  readonly values: ReadonlySet<string>
}

/** Of each request, so that a list of thousands is compared once and not for every line item that names it. */
const listAnswers = new WeakMap<Facts, Map<NamedList, boolean>>()

function isInList(id: string, asked: Asked): boolean {
  const list = asked.lists.get(id)
  if (list === undefined) return false
  const answers = listAnswers.get(asked.facts) ?? new Map<NamedList, boolean>()
  listAnswers.set(asked.facts, answers)
  const answer = answers.get(list) ?? hasOneOf(list, asked)
  answers.set(list, answer)
  return answer
}

function hasOneOf(list: NamedList, asked: Asked): boolean {
  const fact = factOf(list.dimension, asked)
  if (typeof fact !== 'string' && MATCHES[list.dimension] === undefined) return fact.some(one => list.values.has(one))
  return [...list.values].some(value => factHas(list.dimension, fact, value))
}

function holds(expression: Expression, asked: Asked): boolean {
  if ('and' in expression) return expression.and.every(part => holds(part, asked))
  if ('or' in expression) return expression.or.some(part => holds(part, asked))
  if ('not' in expression) return !holds(expression.not, asked)
  if ('userSplit' in expression) return isInSplit(expression.userSplit, asked.facts)
  if ('list' in expression) return expression.list.some(id => isInList(id, asked))
  return (Object.entries(expression) as [DimensionName, readonly unknown[]][]).every(([name, values]) =>
    values.some(value => factHas(name, factOf(name, asked), String(value))),
  )
}

function isInSplit({ salt, from, to }: UserSplit, { userId }: Facts): boolean {
  if (userId === '') return false
  const part = splitPart(splitHash(salt), splitHash(userId))
  return from <= part && part <= to
}

function factOf(name: DimensionName, { facts, opportunity }: Asked): FactValue {
  const position = (REQUEST_DIMENSIONS as readonly string[]).indexOf(name)
  if (position >= 0) return facts.values[position] ?? ''
  return opportunity.values[(IMPRESSION_DIMENSIONS as readonly string[]).indexOf(name)] ?? ''
}

function factHas(name: DimensionName, fact: FactValue, value: string): boolean {
  if (typeof fact !== 'string') return fact.some(one => MATCHES[name]?.(one, value) ?? one === value)
  if (name === 'daypart' || name === 'viewerDaypart') return hoursOfDaypart(value).map(String).includes(fact)
  return fact === value
}

/** Dimensions in which a request's value lies in a document's. */
const MATCHES: Partial<Record<DimensionName, (fact: string, value: string) => boolean>> = {
  osVersion: isInVersions,
  near: isInCircle,
  ip: isInRange,
}

/** As the crow flies: the angle between two directions from the centre of the earth. */
function isInCircle(fact: string, circle: string): boolean {
  const [place = '', radius = ''] = circle.split(' ')
  const direction = (text: string) => {
    const [lat = 0, lon = 0] = text.split(',').map(degrees => (Number(degrees) * Math.PI) / 180)
    return [Math.cos(lat) * Math.cos(lon), Math.cos(lat) * Math.sin(lon), Math.sin(lat)] as const
  }
  const [a, b] = [direction(fact), direction(place)]
  const angle = 2 * Math.asin(Math.min(1, Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]) / 2))
  return angle * 6_371.0088 <= Number(radius.replace('km', ''))
}

/** Addresses as whole numbers of 128 bits. */
function isInRange(fact: string, range: string): boolean {
  const [first = '', length] = range.split('/')
  const spared = BigInt((first.includes(':') ? 128 : 32) - Number(length ?? (first.includes(':') ? 128 : 32)))
  return addressNumber(fact) >> spared === addressNumber(first) >> spared
}

function addressNumber(text: string): bigint {
  if (!text.includes(':'))
    return (0xffffn << 32n) + text.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n)
  const dotted = /[\d.]+$/.exec(text)?.[0] ?? ''
  if (dotted.includes('.')) {
    const low = addressNumber(dotted) & 0xffff_ffffn
    return addressNumber(`${text.slice(0, -dotted.length)}${(low >> 16n).toString(16)}:${(low & 0xffffn).toString(16)}`)
  }
  const [head = '', tail] = text.split('::')
  const before = head.split(':').filter(part => part !== '')
  const after = (tail ?? '').split(':').filter(part => part !== '')
  const gap = new Array<string>(8 - before.length - after.length).fill('0')
  return [...before, ...gap, ...after].reduce((sum, part) => sum * 65_536n + BigInt(`0x${part}`), 0n)
}

/** `ios 17.2` in `ios 15+`, `ios 17` or `ios 15-17`: part by part. */
function isInVersions(fact: string, range: string): boolean {
  const parts = (text: string) => text.split('.').map(Number)
  const system = range.slice(0, range.lastIndexOf(' '))
  if (!fact.startsWith(`${system} `)) return false
  const version = parts(fact.slice(system.length + 1))
  const [first = '', last] = range.slice(system.length + 1).split('-')
  const open = first.endsWith('+')
  const from = parts(first.replace('+', ''))
  const to = parts(last ?? first)
  const isBefore = (a: number[], b: number[], length: number) => {
    for (let i = 0; i < length; i++) if ((a[i] ?? 0) !== (b[i] ?? 0)) return (a[i] ?? 0) < (b[i] ?? 0)
    return false
  }
  return !isBefore(version, from, 3) && (open || !isBefore(to, version, to.length))
}
