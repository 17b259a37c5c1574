/**
 * Expressions over targeting dimensions: `and`, `or`, `not`, and at their ends a dimension with values of which the
 * request must have one, or lists in which it must have one, such as
 * `{ "or": [{ "country": ["USA"] }, { "not": { "keyword": ["golf"] } }] }`.
 */
import { LIMITS } from '../limits.ts'
import { DIMENSION_NAMES, type DIMENSIONS, type DimensionName, dimensionOf } from './dimensions.ts'
import { type Field, type JsonSchema, list, type Path, type Problem, problem, type TypeOf } from './fields.ts'
import { recordId } from './record-fields.ts'
import { USER_SPLIT, type UserSplit } from './user-split.ts'

/** A dimension and values; one of them must be the request's. */
type Leaf = {
  readonly [D in DimensionName]: { readonly [K in D]: readonly TypeOf<(typeof DIMENSIONS)[D]['value']>[] }
}[DimensionName]

/** What a request must be like, as an object with one field. */
export type Expression =
  | { readonly and: readonly Expression[] }
  | { readonly or: readonly Expression[] }
  | { readonly not: Expression }
  | { readonly userSplit: UserSplit }
  | { readonly list: readonly string[] }
  | Leaf

/** An expression with its one word and what stands there, told apart. */
export type Term =
  | { readonly word: 'and' | 'or'; readonly parts: readonly Expression[] }
  | { readonly word: 'not'; readonly part: Expression }
  | { readonly word: 'userSplit'; readonly split: UserSplit }
  | { readonly word: 'list'; readonly ids: readonly string[] }
  | { readonly word: 'values'; readonly name: DimensionName; readonly values: readonly (string | number)[] }

/** Takes a good expression apart by one level. */
export function termOf(expression: Expression): Term {
  if ('and' in expression) return { word: 'and', parts: expression.and }
  if ('or' in expression) return { word: 'or', parts: expression.or }
  if ('not' in expression) return { word: 'not', part: expression.not }
  if ('userSplit' in expression) return { word: 'userSplit', split: expression.userSplit }
  if ('list' in expression) return { word: 'list', ids: expression.list }
  const [name, values] = Object.entries(expression)[0] as [DimensionName, readonly (string | number)[]]
  return { word: 'values', name, values }
}

/** Ids of all lists that an expression names. Cost: O(its parts). */
export function listIdsOf(expression: Expression): readonly string[] {
  const term = termOf(expression)
  if (term.word === 'and' || term.word === 'or') return term.parts.flatMap(listIdsOf)
  if (term.word === 'not') return listIdsOf(term.part)
  return term.word === 'list' ? term.ids : []
}

const LEAVES: ReadonlyMap<string, Field<unknown>> = new Map([
  ...DIMENSION_NAMES.map(name => {
    const value = dimensionOf(name).value as Field<unknown>
    return [name, list(value, { min: 1, max: LIMITS.expressionValuesMax }) as Field<unknown>] as const
  }),
  ['userSplit', USER_SPLIT],
  ['list', list(recordId('a list'), { min: 1, max: LIMITS.listsPerRuleMax })],
])

/** An embedded schema of its own, so that it can refer to itself from wherever it stands. */
const ITSELF: JsonSchema = { $ref: '#' }
const PARTS: JsonSchema = { type: 'array', items: ITSELF, minItems: 1, maxItems: LIMITS.expressionPartsMax }

/** An expression in a document: bounded in depth and in parts. Cost: O(its values). */
export const EXPRESSION: Field<Expression> = {
  schema: {
    $id: 'targeting-expression',
    type: 'object',
    description: 'and, or, not over dimensions, each with values of which the request must have one',
    properties: {
      and: PARTS,
      or: PARTS,
      not: ITSELF,
      ...Object.fromEntries([...LEAVES].map(([k, v]) => [k, v.schema])),
    },
    minProperties: 1,
    maxProperties: 1,
    additionalProperties: false,
  },
  check(value, path, found) {
    const budget = { parts: LIMITS.expressionPartsMax }
    checkPart(value, path, found, { depth: 1, budget })
    if (budget.parts < 0)
      found.push(problem(path, value, `must have at most ${LIMITS.expressionPartsMax} parts altogether`))
  },
}

interface Bounds {
  readonly depth: number
  /** Parts that may still come. */
  readonly budget: { parts: number }
}

function checkPart(value: unknown, path: Path, found: Problem[], { depth, budget }: Bounds): void {
  if (--budget.parts < 0) return
  const words = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : []
  const [word = ''] = words
  const leaf = LEAVES.get(word)
  const isInner = word === 'and' || word === 'or' || word === 'not'
  if (words.length !== 1 || (leaf === undefined && !isInner)) {
    found.push(problem(path, value, 'must be an object with one field: and, or, not, userSplit, list or a dimension'))
    return
  }
  if (depth > LIMITS.expressionDepthMax) {
    found.push(problem(path, value, `must be at most ${LIMITS.expressionDepthMax} levels deep`))
    return
  }
  const inner = (value as Readonly<Record<string, unknown>>)[word]
  const at = path === undefined ? path : path === '' ? word : `${path}.${word}`
  const below = { depth: depth + 1, budget }
  if (leaf !== undefined) leaf.check(inner, at, found)
  else if (word === 'not') checkPart(inner, at, found, below)
  else if (!Array.isArray(inner) || inner.length === 0 || inner.length > LIMITS.expressionPartsMax)
    found.push(problem(at, inner, `must be a list of 1 to ${LIMITS.expressionPartsMax} expressions`))
  else for (let i = 0; i < inner.length; i++) checkPart(inner[i], at === undefined ? at : `${at}[${i}]`, found, below)
}
