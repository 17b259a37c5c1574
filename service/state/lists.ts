/**
 * Lists of values that many line items refer to by id: hundreds of thousands of domains, apps or addresses, told in
 * parts. "In list X" is one value of the list's dimension, so a thousand line items with one list cost what one costs.
 */
import { LIMITS } from '../limits.ts'
import { type DimensionName, dimensionOf, LISTED_DIMENSIONS } from './dimensions.ts'
import { type Field, list, NOT_GOOD, oneOf, type Problem, record, type TypeOf, text } from './fields.ts'
import { RECORD_NAME, recordId } from './record-fields.ts'
import { scanAny } from './text-scans.ts'

/** One record of lists. */
export const LIST = record(
  {
    id: recordId('id of the list'),
    name: RECORD_NAME,
    dimension: oneOf(LISTED_DIMENSIONS, 'what its values are'),
  },
  'values that line items refer to by the id of their list',
)

/** One record of listParts. */
export const LIST_PART = record(
  {
    id: recordId('id of the part'),
    listId: recordId('a list'),
    values: list(text({ about: "a value of the list's dimension", max: 256, scan: scanAny }), {
      min: 1,
      max: LIMITS.listPartValuesMax,
    }),
  },
  'some of the values of a list, which can have any number of parts',
)

/** Values that line items refer to together. */
export type ValueList = TypeOf<typeof LIST>
/** Some of a list's values. */
export type ListPart = TypeOf<typeof LIST_PART>

/** Whether the values are those of a dimension. Cost: O(their characters). */
export function checkListValues(values: readonly string[], dimension: DimensionName, found: Problem[]): void {
  const field = dimensionOf(dimension).value as Field<string>
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as string
    if (field.scan === undefined || field.scan(value) === NOT_GOOD) field.check(value, `values[${i}]`, found)
  }
}
