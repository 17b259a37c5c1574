/**
 * What of a line item's targeting the index answers, and what is left for a program that is run on survivors: postfix
 * words over values of the text table, such as `HAS v7, HAS v9, OR, HAS v3, NOT, AND`.
 */
import { listSpace, SPACE } from './catalog.ts'
import { type DimensionName, dimensionOf, type ListedDimension } from './dimensions.ts'
import type { Targeting } from './documents.ts'
import { type Expression, type Term, termOf } from './expressions.ts'
import type { TextTableBuilder } from './text-table.ts'
import type { UserSplit } from './user-split.ts'

/** A program's words: the operation in the low bits, a number above them. */
export const WORD_BITS = 3
/** Pushes whether the request has the value with this number. */
export const HAS = 0
/** Pushes whether the user is in the split with this number. */
export const SPLIT = 1
/** AND and OR pop two and push one. */
export const AND = 2
const OR = 3
/** Turns the last one round. */
export const NOT = 4

/** What a program's values are looked up in. */
export interface Dictionary {
  readonly texts: TextTableBuilder
  readonly dimensionOfList: (id: string) => ListedDimension
}

interface Words {
  push(word: number): void
}

/** Values by dimension, as the index knows them. */
export interface PlainRule {
  readonly name: DimensionName
  /** Undefined, and no lists: it takes all but what it excludes. */
  readonly include: readonly (string | number)[] | undefined
  readonly exclude: readonly (string | number)[]
  /** Ids of lists whose values are included and excluded too. */
  readonly includeLists: readonly string[]
  readonly excludeLists: readonly string[]
}

/** A part of what must hold together, the other way round when negated. */
interface Demand {
  readonly term: Term
  readonly negated: boolean
}

/** Targeting with all that the index can answer in plain rules, and the demands that are left. */
interface DividedTargeting {
  readonly rules: readonly PlainRule[]
  readonly demands: readonly Demand[]
}

/**
 * Divides a targeting. What an expression demands at its top is ordinary targeting: a dimension becomes an include
 * where there is none yet, its opposite an exclude. So most expressions cost what includes and excludes cost. Pure.
 */
export function divideTargeting(targeting: Targeting): DividedTargeting {
  const rules: Mutable<PlainRule>[] = []
  const all: Demand[] = []
  for (const key in targeting) {
    if (key === 'expression' || key === 'userSplit') continue
    const name = key as DimensionName
    const {
      include,
      exclude = NONE,
      includeLists = NONE,
      excludeLists = NONE,
      all: together = NONE,
    }: Rule = targeting[name] ?? {}
    rules.push({ name, include, exclude, includeLists, excludeLists })
    for (const value of together) all.push({ term: { word: 'values', name, values: [value] }, negated: false })
  }
  if (targeting.expression !== undefined) addDemands(targeting.expression, false, all)
  const demands = all.filter(demand => !becomesRule(demand, rules))
  if (targeting.userSplit !== undefined)
    demands.push({ term: { word: 'userSplit', split: targeting.userSplit }, negated: false })
  return { rules, demands }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }
const NONE: readonly never[] = []

/** Makes a demand a part of its dimension's rule, where a rule can say it. */
function becomesRule({ term, negated }: Demand, rules: Mutable<PlainRule>[]): boolean {
  if (term.word !== 'values') return false
  const { name, values } = term
  let rule = rules.find(each => each.name === name)
  if (!negated && rule !== undefined && (rule.include !== undefined || rule.includeLists.length > 0)) return false
  if (rule === undefined) {
    rule = { name, include: undefined, exclude: NONE, includeLists: NONE, excludeLists: NONE }
    rules.push(rule)
  }
  if (negated) rule.exclude = [...rule.exclude, ...values]
  else rule.include = values
  return true
}

interface Rule {
  readonly include?: readonly (string | number)[]
  readonly exclude?: readonly (string | number)[]
  readonly all?: readonly (string | number)[]
  readonly includeLists?: readonly string[]
  readonly excludeLists?: readonly string[]
}

/** Appends what must hold for the expression (or its opposite) to hold, as many parts as it falls into. */
function addDemands(expression: Expression, negated: boolean, demands: Demand[]): void {
  const term = termOf(expression)
  if (term.word === 'not') addDemands(term.part, !negated, demands)
  else if (term.word === (negated ? 'or' : 'and')) for (const part of term.parts) addDemands(part, negated, demands)
  else demands.push({ term, negated })
}

/** Appends the program of demands that must all hold; nothing when there are none. Cost: O(their values). */
export function addProgram(demands: readonly Demand[], dictionary: Dictionary, words: Words): void {
  for (let i = 0; i < demands.length; i++) {
    const { term, negated } = demands[i]!
    addWords(term, dictionary, words)
    if (negated) words.push(NOT)
    if (i > 0) words.push(AND)
  }
}

/** Joins as it goes, so that the stack of a running program is no deeper than the expression. */
function addWords(term: Term, dictionary: Dictionary, words: Words): void {
  const { texts } = dictionary
  switch (term.word) {
    case 'and':
    case 'or':
      for (let i = 0; i < term.parts.length; i++) {
        addWords(termOf(term.parts[i]!), dictionary, words)
        if (i > 0) words.push(term.word === 'and' ? AND : OR)
      }
      return
    case 'not':
      addWords(termOf(term.part), dictionary, words)
      words.push(NOT)
      return
    case 'userSplit':
      words.push((texts.add(SPACE.userSplit, splitText(term.split)) << WORD_BITS) | SPLIT)
      return
    case 'list':
      for (let i = 0; i < term.ids.length; i++) {
        const id = term.ids[i]!
        words.push((texts.add(listSpace(dictionary.dimensionOfList(id)), id) << WORD_BITS) | HAS)
        if (i > 0) words.push(OR)
      }
      return
    case 'values': {
      const keys = term.values.flatMap(value => keysOf(term.name, value))
      for (let i = 0; i < keys.length; i++) {
        words.push((texts.add(SPACE[term.name], keys[i]!) << WORD_BITS) | HAS)
        if (i > 0) words.push(OR)
      }
    }
  }
}

/** The keys under which a document's value is indexed. */
export function keysOf(name: DimensionName, value: string | number): readonly string[] {
  return dimensionOf(name).keys?.(value) ?? [String(value)]
}

function splitText({ salt, from, to }: UserSplit): string {
  return `${salt} ${from} ${to}`
}
