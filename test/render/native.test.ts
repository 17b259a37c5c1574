import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Hit } from './loopback-web.ts'
import { openRig, type Rig, screenshot, stageOf } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await openRig()
})
afterAll(async () => {
  await rig.close()
})

/** What a news site asks for: the parts of a tile in its feed. */
const ASSETS = [
  { id: 1, required: 1, title: { len: 90 } },
  { id: 2, required: 1, img: { type: 3, wmin: 300, hmin: 157, mimes: ['image/jpeg', 'image/png'] } },
  { id: 3, img: { type: 1, w: 80, h: 80 } },
  { id: 4, required: 1, data: { type: 1 } },
  { id: 5, data: { type: 2, len: 140 } },
  { id: 6, data: { type: 3 } },
  { id: 7, data: { type: 6 } },
  { id: 8, data: { type: 12, len: 20 } },
]
const EVENTS = [
  { event: 1, methods: [1, 2] },
  { event: 2, methods: [1] },
]
const ask = (words: object) => ({ native: { request: JSON.stringify({ native: words }), ver: '1.2' } })
const isTracker = ({ host }: Hit) => host.startsWith('metrics.')

describe('a native ad', () => {
  test('is drawn of the parts that were asked for, and tells what was asked to be told', async () => {
    const words = { ver: '1.2', context: 1, plcmttype: 1, privacy: 1, assets: ASSETS, eventtrackers: EVENTS }
    const bid = await rig.bid('acme-outdoor', ask(words))
    const page = await rig.page()
    rig.web.forget()
    await stageOf(page).native(bid.adm, ASSETS)
    await rig.drawn(page)
    await page.screenshot({ path: screenshot('native-tile') })
    const text = async (name: string) => await page.locator(`#place .${name}`).textContent()
    expect(await text('name')).toMatch(/Ten boots for ten kinds of winter/)
    expect(await text('sponsored')).toBe('Acme Outdoor')
    expect(await text('cta')).toBe('See the test')
    expect(await text('price')).toBe('$149')
    const main = page.locator('#place .main')
    expect(await main.evaluate(each => each instanceof HTMLImageElement && each.naturalWidth)).toBeGreaterThanOrEqual(
      300,
    )
    expect(await page.locator('#place .privacy').getAttribute('href')).toBe('https://www.acme-outdoor.example/privacy')
    // An image and a script at once, what the script calls, and after a second in view the next event.
    const hits = await rig.web.hitsOf(isTracker, 4)
    expect(hits.map(hit => hit.query.e ?? hit.path).sort()).toEqual([
      '/native.js',
      '/script-ran',
      'impression',
      'viewable',
    ])
    const opened = page.waitForEvent('popup')
    await page.locator('#place .cta').click()
    expect((await opened).url()).toBe('https://www.acme-outdoor.example/winter-boots')
    expect((await rig.web.hitsOf(hit => hit.query.e === 'click', 1)).length).toBe(1)
    expect(await rig.told(3)).toEqual(['impression 200', 'viewable 200', 'click 200'])
    await page.close()
  })

  test('for a place of an earlier version tells of the impression by imptrackers', async () => {
    const bid = await rig.bid('acme-outdoor', ask({ ver: '1.1', assets: ASSETS.slice(0, 4) }))
    const page = await rig.page({ width: 390, height: 820 })
    rig.web.forget()
    await stageOf(page).native(bid.adm, ASSETS)
    await rig.drawn(page)
    await page.screenshot({ path: screenshot('native-tile-phone') })
    const [hit] = await rig.web.hitsOf(isTracker, 1)
    expect(hit?.query).toEqual({ e: 'impression' })
    expect(await page.locator('#place .description').isVisible()).toBe(false)
    await page.close()
  })
})
