import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BannerCreative, Creative } from '../../service/state/creative-document.ts'
import type { TenantDocuments } from '../../service/state/documents.ts'
import { sampleTenant } from '../sample-catalog.ts'
import type { Bid } from './exchange.ts'
import { openRig, type Rig, screenshot, stageOf, TENANTS, type Tenant } from './rig.ts'

/** Every creative can be had by a deal of its own. */
function byDeals(documents: TenantDocuments): TenantDocuments {
  const active = documents.creatives.filter(({ status }) => status === 'active')
  return {
    ...documents,
    campaigns: documents.advertisers.map(({ id, name }) => ({ id, name, advertiserId: id, status: 'active' })),
    lineItems: active.map(({ id, name, advertiserId }) => ({
      ...{ id, name, campaignId: advertiserId, status: 'active', priority: 1, price: { cpm: 5 }, targeting: {} },
      ...{ deals: [id], creativeIds: [id] },
    })),
  }
}

let rig: Rig
beforeAll(async () => {
  rig = await openRig(byDeals)
})
afterAll(async () => {
  await rig.close()
})

const ALL_PROTOCOLS = Array.from({ length: 16 }, (_, index) => index + 1)
const FILMS = ['video/webm', 'video/mp4']
const SOUNDS = ['audio/mpeg']
const TILE = [
  { id: 1, required: 1, title: { len: 140 } },
  { id: 2, required: 1, img: { type: 3, wmin: 300, hmin: 150 } },
  { id: 3, img: { type: 1, wmin: 50, hmin: 50 } },
  ...[1, 2, 3, 6, 12].map((type, index) => ({ id: 4 + index, data: { type } })),
]

function creativesOf<F extends Creative['format']>(tenant: Tenant, format: F) {
  const wanted = (each: Creative): each is Extract<Creative, { format: F }> =>
    each.format === format && each.status === 'active'
  return sampleTenant(tenant).creatives.filter(wanted)
}

async function bidOn(tenant: Tenant, { id, apis }: Creative, imp: Readonly<Record<string, object>>): Promise<Bid> {
  const withApis = Object.entries(imp).map(([format, words]) => [format, { ...words, api: apis ?? [] }])
  const pmp = { private_auction: 1, deals: [{ id }] }
  const bid = await rig.bid(tenant, { ...Object.fromEntries(withApis), pmp })
  expect(bid.crid).toBe(id)
  return bid
}

describe.each(TENANTS)('the creatives of %s', tenant => {
  test('that are banners fill their frames, and none needs more room than it has', async () => {
    const page = await rig.page({ width: 1_400, height: 1_000 })
    const banners: readonly BannerCreative[] = creativesOf(tenant, 'banner')
    for (const each of banners) {
      const { width, height } = each
      const { adm } = await bidOn(tenant, each, { banner: { w: width, h: height } })
      await stageOf(page).hang(adm, width, height)
    }
    // What is out of view is not painted.
    const height = await page.evaluate(() => document.documentElement.scrollHeight)
    await page.setViewportSize({ width: 1_400, height })
    const seen = await rig.seen(page, `gallery-${tenant}`, page.locator('#place iframe'))
    for (const [index, { id, width, height }] of banners.entries()) {
      const frame = page.locator('#place iframe').nth(index)
      const html = frame.contentFrame().locator('html')
      const needed = await html.evaluate(({ scrollWidth, scrollHeight }) => [scrollWidth, scrollHeight])
      expect(needed, id).toEqual([width, height])
      expect(seen[index]?.distinct, id).toBeGreaterThan(30)
      expect(seen[index]?.most, id).toBeLessThan(0.7)
    }
    await page.close()
  })

  test('that are films or sounds play', async () => {
    const page = await rig.page()
    for (const each of [...creativesOf(tenant, 'video'), ...creativesOf(tenant, 'audio')]) {
      const mimes = each.format === 'video' ? FILMS : SOUNDS
      const bid = await bidOn(tenant, each, { [each.format]: { mimes, protocols: ALL_PROTOCOLS, w: 640, h: 360 } })
      expect(await stageOf(page).vast(bid.adm, { mimes, width: 640, speed: 4 }), each.id).toBe('playing')
    }
    await page.close()
  })

  test('that are native are drawn of their parts', async () => {
    const page = await rig.page()
    for (const each of creativesOf(tenant, 'native')) {
      const request = JSON.stringify({ ver: '1.2', privacy: 1, assets: TILE })
      await stageOf(page).native((await bidOn(tenant, each, { native: { request, ver: '1.2' } })).adm, TILE)
      await rig.drawn(page)
      await page.screenshot({ path: screenshot(`native-${each.id}`) })
      const sides = await page
        .locator('#place .main')
        .evaluate(each => each instanceof HTMLImageElement && each.naturalWidth)
      expect(sides, each.id).toBeGreaterThan(0)
      expect(await page.locator('#place .privacy').isVisible(), each.id).toBe(true)
    }
    await page.close()
  })
})
