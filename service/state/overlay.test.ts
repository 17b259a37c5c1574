import { describe, expect, test } from 'vitest'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { creativeFragment } from '../openrtb/creative-fragment.ts'
import type { Catalog } from './catalog.ts'
import type { Delta } from './delta.ts'
import { DOCUMENT_KIND_NAMES } from './documents.ts'
import { Overlay } from './overlay.ts'
import { type Change, WorkingCopy } from './working-copy.ts'

const SLAB_BYTES = 4 * 1024 * 1024
const tenant = sampleTenant()

/** What a publisher would write for changes of the sample tenant, one after another. */
function deltasOf(changes: readonly Change[]): readonly Delta[] {
  const copy = new WorkingCopy()
  for (const kind of DOCUMENT_KIND_NAMES) for (const each of [tenant[kind]].flat()) copy.put(kind, each)
  return changes.map(change => {
    const outcome = copy.change([change], 'test')
    if (outcome.kind !== 'delta') throw new Error(JSON.stringify(outcome))
    return outcome.delta
  })
}

/** Builds once after every delta, or only at the end. */
function builtFrom(deltas: readonly Delta[], often: boolean): Catalog {
  const overlay = new Overlay(compiledTenant(tenant), creativeFragment)
  deltas.forEach((delta, at) => {
    expect(overlay.apply(structuredClone(delta), `delta ${at + 1}`).problems).toEqual([])
    if (often) overlay.build(new SharedArrayBuffer(SLAB_BYTES), at + 1)
  })
  return overlay.build(new SharedArrayBuffer(SLAB_BYTES), deltas.length)
}

function markupOf({ columns }: Catalog): string {
  return Buffer.from(columns.fragmentBytes).toString('latin1')
}

describe('what an overlay keeps between builds', () => {
  test('markup follows the creative and the advertiser, however often it was rendered', () => {
    const [lineItem] = tenant.lineItems
    const creative = tenant.creatives.find(({ id }) => id === lineItem?.creativeIds[0])
    const advertiser = tenant.advertisers.find(({ id }) => id === creative?.advertiserId)
    if (lineItem === undefined || creative === undefined || advertiser === undefined) throw new Error('the sample')
    const deltas = deltasOf([
      { kind: 'lineItems', put: { ...lineItem, price: { cpm: 1 } } },
      { kind: 'advertisers', put: { ...advertiser, domain: 'renamed.example' } },
      { kind: 'lineItems', put: { ...lineItem, price: { cpm: 2 } } },
      { kind: 'creatives', put: { ...creative, previewUrl: 'https://cdn.example/new.png' } },
    ])
    const often = builtFrom(deltas, true)
    expect(markupOf(often)).toBe(markupOf(builtFrom(deltas, false)))
    expect(markupOf(often)).toContain('"adomain":["renamed.example"]')
    expect(markupOf(often)).toContain('https://cdn.example/new.png')
    expect(markupOf(builtFrom(deltas.slice(0, 1), true))).not.toContain('renamed.example')
  })
})
