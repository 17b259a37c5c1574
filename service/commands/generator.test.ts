import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { LineItem } from '../state/documents.ts'
import { DocumentReader, problemLine } from '../state/validate.ts'
import { generatedCounts, generateTenant } from './generator.ts'

function digest(lineItems: number, seed: number): string {
  const hash = createHash('sha256')
  for (const document of generateTenant({ lineItems, seed })) hash.update(JSON.stringify(document))
  return hash.digest('hex')
}

function lineItemsOf(count: number, seed: number): LineItem[] {
  return [...generateTenant({ lineItems: count, seed })].flatMap(each =>
    each.kind === 'lineItems' ? [each.value] : [],
  )
}

const share = (lineItems: readonly LineItem[], has: (lineItem: LineItem) => boolean): number =>
  lineItems.filter(has).length / lineItems.length

describe('a generated tenant', () => {
  test('is the same for the same seed and another for another', () => {
    expect(digest(300, 7)).toBe(digest(300, 7))
    expect(digest(300, 8)).not.toBe(digest(300, 7))
  })

  test.each([1, 3, 99, 2_000])('of %i line items is valid and has the records that were announced', count => {
    const reader = new DocumentReader(() => {})
    let record = 0
    for (const { kind, value } of generateTenant({ lineItems: count, seed: count }))
      reader.read(kind, value, { file: kind, record: record++ })
    const report = reader.finish()
    expect(report.problems.map(problemLine)).toEqual([])
    expect(Object.fromEntries(Object.entries(report.counts).map(([kind, { good }]) => [kind, good]))).toEqual(
      generatedCounts(count),
    )
  })

  test.each([1, 2, 3])('with seed %i has line items of at least 1 KB on average', seed => {
    const lineItems = lineItemsOf(2_000, seed)
    const bytes = lineItems.reduce((sum, each) => sum + Buffer.byteLength(JSON.stringify(each)), 0)
    expect(bytes / lineItems.length).toBeGreaterThanOrEqual(1_024)
  })

  test('is skewed: popular values are common, many line items take every country', () => {
    const lineItems = lineItemsOf(5_000, 11)
    const open = share(lineItems, ({ targeting }) => targeting.country === undefined)
    expect(open).toBeGreaterThan(0.35)
    expect(open).toBeLessThan(0.6)
    const inUsa = share(lineItems, ({ targeting }) => targeting.country?.include?.includes('USA') === true)
    const inSpain = share(lineItems, ({ targeting }) => targeting.country?.include?.includes('ESP') === true)
    expect(inUsa).toBeGreaterThan(3 * inSpain)
    expect(inSpain).toBeGreaterThan(0)
    const steered = share(lineItems, each => each.priority <= 12 && each.passThroughRate !== undefined)
    expect(steered).toBeGreaterThan(0.5)
  })

  test('has every format, mostly banners, and a line item has creatives of one', () => {
    const documents = [...generateTenant({ lineItems: 2_000, seed: 3 })]
    const formats = new Map(
      documents.flatMap(({ kind, value }) => (kind === 'creatives' ? [[value.id, value.format]] : [])),
    )
    const bought = lineItemsOf(2_000, 3).map(({ creativeIds }) => new Set(creativeIds.map(id => formats.get(id))))
    expect(Math.max(...bought.map(each => each.size))).toBe(1)
    const shareOf = (format: string) => bought.filter(each => each.has(format as never)).length / bought.length
    expect(shareOf('banner')).toBeGreaterThan(0.7)
    for (const format of ['video', 'audio', 'native']) expect(shareOf(format), format).toBeGreaterThan(0.01)
  })

  test('refuses a count out of bounds', () => {
    for (const lineItems of [0, -1, 1.5, Number.NaN, 1e9]) expect(() => digest(lineItems, 1)).toThrow('lineItemsMax')
  })
})
