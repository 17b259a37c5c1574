import { expect, test } from 'vitest'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import type { LineItem } from './documents.ts'
import { dealsOf, isRoadblock } from './roadblocks.ts'

const sample = sampleTenant()
const [first, ...others] = sample.lineItems as [LineItem, ...LineItem[]]
const tenant = (lineItem: LineItem) => compiledTenant({ ...sample, lineItems: [lineItem, ...others] })

test('a roadblock is a deal of its campaign that the catalog knows, and no deal of an exchange', () => {
  const { deals: _, ...open } = first
  const [deal] = dealsOf({ ...open, roadblock: true }) ?? []
  expect(isRoadblock(deal ?? '')).toBe(true)
  expect(tenant({ ...open, roadblock: true }).header.roadblocks).toEqual([deal])
  expect(tenant(open).header.roadblocks).toEqual([])
  expect(isRoadblock('roadblock')).toBe(false)
})

test('a line item of a deal is no roadblock', () => {
  expect(dealsOf({ ...first, deals: ['d-1'], roadblock: false })).toEqual(['d-1'])
  expect(() => tenant({ ...first, deals: ['d-1'], roadblock: true })).toThrow('a roadblock is of the open auction')
})
