/**
 * The second judge: JSON Schema, held against an answer by ajv. One schema is the specification's text on the bid
 * response; another is made for each request and says what an answer to just this one may hold. It shares neither code
 * nor author's reading with the first judge (acceptance.ts), so that a mistake in one of them shows.
 */
import { readFileSync } from 'node:fs'
import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import { isObject, objectFrom, textFrom } from './acceptance-rules.ts'
import { answerSchema, type Money, type Schema } from './answer-schema.ts'

const FAULTS_MAX = 5

const STRICT = { strict: true, strictRequired: false, strictTypes: false, allErrors: true }
const ofSpecification = new Ajv2020(STRICT).compile(
  JSON.parse(readFileSync(new URL('bid-response.schema.json', import.meta.url), 'utf8')) as Schema,
)
/** Schemas of requests are compiled by the thousand: they are made by code, and its tests check their form. */
const FAST = { ...STRICT, strict: false, validateSchema: false, code: { optimize: 0 } } as const
const ajv = new Ajv2020(FAST)

/** What is known beside request and answer. */
export interface Agreed {
  /** What one unit of each currency is worth, in any common one; without it no floor in another is judged. */
  readonly rates?: Money['rates']
  /** The exchange's own currency, for requests that name none; USD when it is not told. */
  readonly currency?: string
}

/**
 * Where an answer with status 200 breaks the schema, as `place: what`; none when it is good. Cost: compiles a schema
 * for the request, about 2 ms.
 * @param request after JSON.parse, whatever it holds
 */
export function schemaFaults(request: unknown, bodyText: string, agreed: Agreed = {}): readonly string[] {
  let answer: unknown
  try {
    answer = JSON.parse(bodyText)
  } catch {
    return ['/: is no JSON']
  }
  const faults = faultsOf(ofSpecification, answer)
  if (faults.length > 0 || !isObject(request)) return faults
  const currency = textFrom(objectFrom(answer).cur) ?? 'USD'
  const schema = answerSchema(request, { currency, rates: agreed.rates, agreed: agreed.currency ?? 'USD' })
  const ofRequest = ajv.compile(schema)
  const found = faultsOf(ofRequest, answer)
  ajv.removeSchema(schema)
  return found
}

function faultsOf(validate: ValidateFunction, answer: unknown): readonly string[] {
  if (validate(answer)) return []
  const told = (validate.errors ?? []).filter(({ keyword }) => !['if', 'anyOf', 'allOf'].includes(keyword))
  return [...new Set((told.length > 0 ? told : (validate.errors ?? [])).map(faultText))].slice(0, FAULTS_MAX)
}

function faultText({ instancePath, keyword, message, params }: ErrorObject): string {
  const detail = keyword === 'additionalProperties' ? `: ${String(params.additionalProperty)}` : ''
  return `${instancePath || '/'}: ${message ?? keyword}${detail}`
}
