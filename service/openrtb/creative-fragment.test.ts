import { describe, expect, test } from 'vitest'
import { parseXml } from '../../loadtest/xml.ts'
import { sampleTenant } from '../../test/sample-catalog.ts'
import type { BannerCreative, Creative, VideoCreative } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import { creativeFragment, saidBy } from './creative-fragment.ts'
import { filledFragment, fragmentWithHoles, type MacroSource } from './macro-values.ts'

const ADVERTISER: Advertiser = { id: 'ad', name: 'Shop', domain: 'shop.example', categories: ['IAB22', 'IAB17'] }
const BANNER: BannerCreative = {
  ...{ id: 'cr-1', name: 'One', advertiserId: 'ad', status: 'active', format: 'banner', width: 300, height: 250 },
  ...{ bannerType: 2, secure: true },
  content: {
    ...{ kind: 'image', url: 'https://cdn.example/a.png?a=1&b=2', mime: 'image/png' },
    ...{ landingUrl: 'https://shop.example/?q="><script>', alt: 'Tents & "boots"' },
  },
}
const VIDEO: VideoCreative = {
  ...{ id: 'cr-2', name: 'Two', advertiserId: 'ad', status: 'active', format: 'video', width: 640, height: 360 },
  ...{ title: 'Two', durationS: 15, skipAfterS: 5, vastVersion: '4.2', landingUrl: 'https://shop.example/' },
  mediaFiles: [{ url: 'https://cdn.example/a.mp4', mime: 'video/mp4', width: 640, height: 360, bitrateKbps: 900 }],
}

const members = (creative: Creative, advertiser = ADVERTISER) =>
  JSON.parse(`{${creativeFragment(creative, advertiser)}}`)

/** What macros are filled with. */
const BID: MacroSource = {
  ...{ noticeToken: '', bidId: 'b-1', exchangeId: 'adx', dealId: '', campaignId: 'c-1', lineItemId: 'li-1' },
  ...{ request: { site: { domain: 'news.example' } }, imp: { id: '1', tagid: 'top' }, nowMs: 0, cacheBuster: 7 },
}

describe('what a creative says in every bid', () => {
  test('has the members that exchanges ask for of a banner', () => {
    const { adm, ...rest } = members({ ...BANNER, categories: ['IAB17', 'IAB17-16'], attributes: [3], language: 'de' })
    expect(rest).toEqual({
      ...{ crid: 'cr-1', adomain: ['shop.example'], cattax: 1, cat: ['IAB22', 'IAB17', 'IAB17-16'] },
      ...{ attr: [3], language: 'de', mtype: 1, w: 300, h: 250 },
    })
    expect(adm).toContain('https://cdn.example/a.png?a=1&amp;b=2')
  })

  test('leaves out what there is nothing to say about', () => {
    const said = members(BANNER, { ...ADVERTISER, categories: [] })
    for (const name of ['cat', 'cattax', 'attr', 'language', 'dur', 'protocol']) expect(said).not.toHaveProperty(name)
  })

  test('escapes text that goes into markup', () => {
    const { adm } = members(BANNER)
    expect(adm).toContain('href="https://shop.example/?q=&quot;&gt;&lt;script&gt;"')
    expect(adm).toContain('alt="Tents &amp; &quot;boots&quot;"')
    expect(adm).not.toContain('<script>')
  })

  test('has the VAST of a video with its length and protocol', () => {
    const { adm, ...rest } = members(VIDEO)
    expect(rest).toMatchObject({ mtype: 2, dur: 15, protocol: 13, w: 640, h: 360 })
    expect(parseXml(adm).attributes.get('version')).toBe('4.2')
  })

  test('declares a video that can be skipped as skippable, once', () => {
    expect(members(VIDEO).attr).toEqual([16])
    expect(members({ ...VIDEO, attributes: [16, 3] }).attr).toEqual([16, 3])
    const { skipAfterS: _, ...fixed } = VIDEO
    expect(members(fixed)).not.toHaveProperty('attr')
  })

  test.each(['acme-outdoor', 'bluebird-games', 'cinema-now'])('is ASCII and JSON for all creatives of %s', name => {
    const { creatives, advertisers } = sampleTenant(name)
    for (const creative of creatives) {
      const advertiser = advertisers.find(({ id }) => id === creative.advertiserId) as Advertiser
      const kept = creativeFragment(creative, advertiser)
      expect(saidBy(kept).adomain, creative.id).toEqual([advertiser.domain])
      const fragment = filledFragment(fragmentWithHoles(kept), BID)
      // The parts of a native ad are put together per bid, see native-markup.test.ts.
      if (creative.format === 'native') continue
      expect(/^[ -~]*$/.test(fragment), creative.id).toBe(true)
      const said = JSON.parse(`{${fragment}}`)
      expect(said.crid).toBe(creative.id)
      expect(said.adm).not.toBe('')
      if (creative.format === 'video') expect(parseXml(said.adm).name).toBe('VAST')
    }
  })
})
