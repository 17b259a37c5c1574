import { describe, expect, test } from 'vitest'
import { elementsNamed, parseXml } from '../../loadtest/xml.ts'
import { sampleTenant } from '../../test/sample-catalog.ts'
import { sameSignature, signerOf } from '../http/notice-keys.ts'
import { type Creative, isVast } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import { creativeFragment } from './creative-fragment.ts'
import { filledFragment, fragmentWithHoles } from './macro-values.ts'
import { BETWEEN } from './native-markup.ts'
import { withTrackers } from './notice-markup.ts'
import { isLanding, NoticeUrls } from './notice-urls.ts'

const sign = signerOf([{ id: 'k1', secret: 'a'.repeat(32) }])
const urls = new NoticeUrls({ publicUrl: 'https://ads.example.com', tenantId: 'acme', keyId: 'k1', sign })
const reader = { tenantId: 'acme', sign, same: sameSignature }
const TOKEN = 'k1~b-1~signed'
const ours = (event: string) => `https://ads.example.com/acme/event/${event}/${TOKEN}`
const PRICE = `?price=$${'{AUCTION_PRICE}'}`

const tenants = ['acme-outdoor', 'bluebird-games', 'cinema-now'].map(name => sampleTenant(name))
const creatives = tenants.flatMap(({ creatives, advertisers }) =>
  creatives.map(creative => {
    return { creative, advertiser: advertisers.find(({ id }) => id === creative.advertiserId) as Advertiser }
  }),
)
const VERSIONS = ['2.0', '3.0', '4.0', '4.1', '4.2', '4.3'] as const

function filled(text: string): string {
  const source = { request: {}, imp: {}, nowMs: 0, cacheBuster: 1, exchangeId: '', dealId: '', campaignId: '' }
  return filledFragment(fragmentWithHoles(text), { ...source, bidId: '', lineItemId: '', noticeToken: TOKEN })
}

function markupOf(creative: Creative, advertiser: Advertiser): { readonly before: string; readonly after: string } {
  const fragment = creativeFragment(creative, advertiser)
  const adm = (text: string) => (JSON.parse(`{${filled(text)}}`) as { adm: string }).adm
  return { before: adm(fragment), after: adm(withTrackers(fragment, urls)) }
}

const addresses = (xml: string, name: string) => elementsNamed(parseXml(xml), name).map(({ text }) => text.trim())

describe('trackers of ours in the markup', () => {
  test('of video and audio are the impression, how far it was played, and clicks, beside those of the creative', () => {
    let seen = 0
    for (const { creative, advertiser } of creatives.filter(each => isVast(each.creative)))
      for (const vastVersion of VERSIONS) {
        seen++
        const { before, after } = markupOf({ ...creative, vastVersion } as Creative, advertiser)
        const context = `${creative.id} ${vastVersion}`
        const theirs = addresses(before, 'Impression').filter(url => url !== 'about:blank')
        expect(addresses(after, 'Impression').toSorted(), context).toEqual(
          [ours('impression') + PRICE, ...theirs].toSorted(),
        )
        const played = ['start', 'first-quartile', 'midpoint', 'third-quartile', 'complete'].map(ours)
        expect(addresses(after, 'Tracking'), context).toEqual([...played, ...addresses(before, 'Tracking')])
        expect(addresses(after, 'ClickTracking').toSorted(), context).toEqual(
          [ours('click'), ...addresses(before, 'ClickTracking')].toSorted(),
        )
        for (const name of ['MediaFile', 'ClickThrough', 'VASTAdTagURI', 'Error', 'Companion'])
          expect(addresses(after, name), `${context} ${name}`).toEqual(addresses(before, name))
        const linear = elementsNamed(parseXml(after), 'Linear')[0]
        const order = linear?.children.map(({ name }) => name) ?? []
        const [events, clicks] = [order.indexOf('TrackingEvents'), order.indexOf('VideoClicks')]
        expect(events, context).toBeGreaterThanOrEqual(0)
        expect(clicks, context).toBeGreaterThan(events)
      }
    expect(seen).toBeGreaterThan(30)
  })

  test('of a banner are a pixel, and a link through us that leads to its page', () => {
    const links: string[] = []
    for (const { creative, advertiser } of creatives) {
      if (creative.format !== 'banner') continue
      const { before, after } = markupOf(creative, advertiser)
      expect(after).toContain(
        `<img src="${ours('impression')}${PRICE}" width="1" height="1" alt="" style="display:none"/>`,
      )
      if (creative.content.kind === 'html') expect(after.startsWith(before), creative.id).toBe(true)
      else {
        const link = new URL(/^<a href="([^"]+)"/.exec(after)?.[1]?.replaceAll('&amp;', '&') ?? '')
        expect(link.href.startsWith(`${ours('click')}?`), creative.id).toBe(true)
        const [to, signature] = [link.searchParams.get('to') ?? '', link.searchParams.get('s') ?? '']
        expect(to).toBe(creative.content.landingUrl)
        expect(isLanding(to, signature, reader)).toBe(true)
        expect(isLanding(`${to}x`, signature, reader)).toBe(false)
        expect(isLanding(to, signature, { ...reader, tenantId: 'other' })).toBe(false)
        links.push(to)
      }
    }
    expect(links.length).toBeGreaterThan(3)
  })

  test('of a native ad stand before its own, as a pixel for each event, and among the trackers of its link', () => {
    let seen = 0
    for (const { creative, advertiser } of creatives) {
      if (creative.format !== 'native') continue
      seen++
      const parts = filled(withTrackers(creativeFragment(creative, advertiser), urls)).split(BETWEEN)
      const own = creativeFragment(creative, advertiser).split(BETWEEN)
      const trackers = parts[3]?.split(' ') ?? []
      expect(trackers.slice(0, 2)).toEqual([`11\\"${ours('impression')}${PRICE}\\"`, `21\\"${ours('viewable')}\\"`])
      expect(trackers.length).toBe(2 + (creative.trackers?.length ?? 0))
      const link = JSON.parse(`{${JSON.parse(`"${parts[1]}"`)}}`).link
      const { url, clicktrackers = [] } = JSON.parse(`{${JSON.parse(`"${filled(own[1] ?? '')}"`)}}`).link
      expect(link).toEqual({ url, clicktrackers: [ours('click'), ...clicktrackers] })
      expect([parts[0], parts[2], ...parts.slice(4)]).toEqual(
        [own[0], own[2], ...own.slice(4)].map(part => filled(part ?? '')),
      )
    }
    expect(seen).toBeGreaterThan(0)
  })
})
