import { setFlagsFromString } from 'node:v8'
import { runInThisContext } from 'node:vm'
import { expect, test } from 'vitest'
import { simulatedCatalog } from '../loadtest/money/tenant.ts'
import { LIMITS } from './limits.ts'

setFlagsFromString('--allow-natives-syntax')
/** Whether V8 has a class of the object, and need not look its members up in a table. */
const hasFastProperties = runInThisContext('object => %HasFastProperties(object)') as (object: object) => boolean

test('V8 knows where limits and columns are', () => {
  expect(hasFastProperties(Object.fromEntries(Array.from({ length: 2_000 }, (_, i) => [`a${i}`, i])))).toBe(false)
  expect(hasFastProperties(LIMITS)).toBe(true)
  const { columns, header } = simulatedCatalog([{ id: 'a', priceNanos: 1 }])
  expect(hasFastProperties(columns)).toBe(true)
  expect(hasFastProperties(header)).toBe(true)
})
