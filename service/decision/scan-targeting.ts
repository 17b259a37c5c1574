/** The naive engine's targeting: reads rules and facts as they are written. Shares no code with the index. */
import { hoursOfDaypart } from '../state/dayparts.ts'
import { DIMENSION_NAMES, type DimensionName, IMPRESSION_DIMENSIONS, REQUEST_DIMENSIONS } from '../state/dimensions.ts'
import type { Targeting } from '../state/documents.ts'
import type { Expression } from '../state/expressions.ts'
import { splitHash, splitPart, type UserSplit } from '../state/user-split.ts'
import type { Facts, FactValue, Opportunity } from './opportunity.ts'

/** Whether the targeting takes the opportunity. Pure. Cost: O(values of the targeting × values of the request). */
export function targets(targeting: Targeting, facts: Facts, opportunity: Opportunity): boolean {
  const asked = { facts, opportunity }
  if (targeting.userSplit !== undefined && !isInSplit(targeting.userSplit, facts)) return false
  if (targeting.expression !== undefined && !holds(targeting.expression, asked)) return false
  return DIMENSION_NAMES.every(name => {
    const rule: Rule | undefined = targeting[name]
    const fact = factOf(name, asked)
    const has = (value: unknown) => factHas(name, fact, String(value))
    if (rule?.include !== undefined && !rule.include.some(has)) return false
    if (rule?.all !== undefined && !rule.all.every(has)) return false
    return !rule?.exclude?.some(has)
  })
}

interface Rule {
  readonly include?: readonly unknown[]
  readonly all?: readonly unknown[]
  readonly exclude?: readonly unknown[]
}

interface Asked {
  readonly facts: Facts
  readonly opportunity: Opportunity
}

function holds(expression: Expression, asked: Asked): boolean {
  if ('and' in expression) return expression.and.every(part => holds(part, asked))
  if ('or' in expression) return expression.or.some(part => holds(part, asked))
  if ('not' in expression) return !holds(expression.not, asked)
  if ('userSplit' in expression) return isInSplit(expression.userSplit, asked.facts)
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
  if (typeof fact !== 'string') return fact.includes(value)
  if (name === 'daypart' || name === 'viewerDaypart') return hoursOfDaypart(value).map(String).includes(fact)
  return name === 'osVersion' ? isInVersions(fact, value) : fact === value
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
