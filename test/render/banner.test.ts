import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRig, type Rig, screenshot, stageOf, TENANTS } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await openRig()
})
afterAll(async () => {
  await rig.close()
})

/** Sizes that people see, with the window they see them in. */
const DESKTOP = { width: 1_100, height: 820 }
const PHONE = { width: 390, height: 820 }
const PIXEL_PHONE = { os: 'Android', osv: '14', make: 'Google', model: 'Pixel 8', devicetype: 4, connectiontype: 2 }
const PLACES = [
  { size: '300x250', window: DESKTOP },
  { size: '728x90', window: DESKTOP },
  { size: '300x600', window: DESKTOP },
  { size: '160x600', window: DESKTOP },
  { size: '970x250', window: DESKTOP },
  { size: '320x50', window: PHONE },
  { size: '320x480', window: PHONE },
] as const

describe.each(TENANTS)('banners of %s', tenant => {
  test.each(PLACES)('fill their frame of $size and lead to the advertiser', async ({ size, window }) => {
    const [width = 0, height = 0] = size.split('x').map(Number)
    const bid = await rig.bid(tenant, { banner: { w: width, h: height } })
    const page = await rig.page(window)
    rig.web.forget()
    await stageOf(page).banner(bid.adm, width, height)
    const place = page.locator('#place iframe')
    const inside = page.frameLocator('#place iframe')
    await inside.locator('a').first().waitFor()
    const [seen] = await rig.seen(page, `banner-${tenant}-${size}`, place)
    expect(await place.boundingBox()).toMatchObject({ width, height })
    const overflow = await inside
      .locator('html')
      .evaluate(({ scrollWidth, scrollHeight }) => [scrollWidth, scrollHeight])
    expect(overflow, `${bid.crid} needs no more room than it has`).toEqual([width, height])
    expect(seen?.distinct, bid.crid).toBeGreaterThan(30)
    expect(seen?.most, bid.crid).toBeLessThan(0.7)
    expect(await rig.told(1), bid.crid).toEqual(['impression 200'])
    const opened = page.waitForEvent('popup')
    await inside.locator('a').first().click()
    expect(new URL((await opened).url()).host, bid.crid).toMatch(new RegExp(`(^|\\.)${bid.adomain[0]}$`))
    await page.close()
  })
})

describe('an image with a link', () => {
  test('loads in its own size, and its click leads on through us', async () => {
    const request = { site: { domain: 'gear.example', cat: ['IAB18-6'] } }
    const bid = await rig.bid('acme-outdoor', { banner: { w: 300, h: 250 } }, request)
    expect(bid.crid).toBe('cr-ridge-photo-300x250')
    const page = await rig.page()
    rig.web.forget()
    await stageOf(page).banner(bid.adm, 300, 250)
    const image = page.frameLocator('#place iframe').locator('a img')
    await image.waitFor()
    await rig.drawn(page)
    await page.screenshot({ path: screenshot('banner-image') })
    const natural = await image.evaluate(each => [
      each instanceof HTMLImageElement && each.naturalWidth,
      each.clientWidth,
    ])
    expect(natural).toEqual([300, 300])
    const opened = page.waitForEvent('popup')
    await image.click()
    await (await opened).waitForURL('https://www.ridgelineboots.example/summit-gtx?ref=photo')
    expect(await rig.told(2)).toEqual(['impression 200', 'click 302'])
    await page.close()
  })
})

describe("an agency's tag", () => {
  test('is loaded, is told the place and the landing page, and draws the ad', async () => {
    const request = { site: { domain: 'news.example', keywords: 'film night' } }
    const imp = { tagid: "rail's top", banner: { w: 300, h: 600, pos: 1 } }
    const bid = await rig.bid('cinema-now', imp, request)
    expect(bid.crid).toBe('cn-snacks-tag-300x600')
    const page = await rig.page()
    rig.web.forget()
    await stageOf(page).banner(bid.adm, 300, 600)
    const image = page.frameLocator('#place iframe').locator('a img')
    await image.waitFor()
    await rig.drawn(page)
    await page.screenshot({ path: screenshot('banner-tag') })
    const [hit] = await rig.web.hitsOf(({ host }) => host === 'metrics.agency.example', 1)
    expect(hit?.query).toEqual({ e: 'tag', place: "rail's top" })
    const opened = page.waitForEvent('popup')
    await image.click()
    expect((await opened).url()).toBe('https://www.popcornclub.example/join')
    await page.close()
  })
})

describe('an ad that is played', () => {
  test('goes where its framework is, takes taps, and opens the store by the framework', async () => {
    const request = { site: undefined, app: { bundle: 'com.wordloom.daily' }, device: { ...PIXEL_PHONE } }
    const banner = { w: 320, h: 480, api: [5] }
    const bid = await rig.bid('bluebird-games', { banner, instl: 1 }, request)
    expect(bid).toMatchObject({ crid: 'bg-playable-320x480', apis: [5] })
    const page = await rig.page(PHONE)
    await stageOf(page).banner(bid.adm, 320, 480)
    const inside = page.frameLocator('#place iframe')
    await inside.locator('.g').first().waitFor()
    await rig.drawn(page)
    await page.screenshot({ path: screenshot('banner-playable') })
    for (const left of ['2 to go', '1 to go', 'The island flies!']) {
      await inside.locator('.g:enabled').first().click()
      expect(await inside.locator('h1').textContent()).toBe(left)
    }
    await page.screenshot({ path: screenshot('banner-played') })
    const opened = page.waitForEvent('popup')
    await inside.locator('#c').click()
    const landing = new URL((await opened).url())
    expect([landing.host, landing.searchParams.get('from')]).toEqual([
      'www.bluebird-games.example',
      'com.wordloom.daily',
    ])
    await page.close()
  })

  test('is not bid where nothing says that its framework is there', async () => {
    const request = { site: undefined, app: { bundle: 'com.wordloom.daily' }, device: { ...PIXEL_PHONE } }
    const bid = await rig.bid('bluebird-games', { banner: { w: 320, h: 480 }, instl: 1 }, request)
    expect(bid.crid).toBe('bg-320x480')
  })
})

describe('an exchange that takes markup with the win', () => {
  test('gets it there, and it is shown as usual', async () => {
    const request = { site: undefined, app: { bundle: 'com.wordloom.daily' }, device: { ...PIXEL_PHONE } }
    const bid = await rig.bid('bluebird-games', { banner: { w: 320, h: 480 }, instl: 1 }, request, 'arcade')
    expect(bid.crid).toBe('bg-320x480')
    expect(bid.nurl).toContain(`price=${bid.price}`)
    const page = await rig.page(PHONE)
    rig.web.forget()
    await stageOf(page).banner(bid.adm, 320, 480)
    await page.frameLocator('#place iframe').getByText('Skyforge Islands').waitFor()
    expect(await rig.told(1)).toEqual(['impression 200'])
    await page.close()
  })
})

describe('notices of the exchange', () => {
  test('are taken, one more time, too, and only by the tenant whose bid it was', async () => {
    const banner = await rig.bid('acme-outdoor', { banner: { w: 300, h: 250 } })
    expect(await rig.notify('acme-outdoor', banner.burl)).toBe(204)
    expect(await rig.notify('acme-outdoor', banner.burl)).toBe(204)
    expect(await rig.notify('cinema-now', banner.burl)).toBe(404)
  })
})

describe('the frame of a banner', () => {
  test('lets its markup run scripts, and touch nothing of the page around it', async () => {
    const page = await rig.page()
    const html = `<p>waiting</p><script>let t='free';try{parent.document.title='taken'}catch{t='caged'}
      document.querySelector('p').textContent=t</script>`
    await stageOf(page).banner(html, 300, 250)
    await page.frameLocator('#place iframe').getByText('caged').waitFor()
    expect(await page.title()).toBe('The Ridge Post')
    await page.close()
  })
})
