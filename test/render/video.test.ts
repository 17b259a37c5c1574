import type { Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { VAST_PROTOCOLS, VAST_WRAPPER_PROTOCOLS } from '../../service/state/creative-document.ts'
import type { Bid } from './exchange.ts'
import type { Hit } from './loopback-web.ts'
import { openRig, type Rig, screenshot, stageOf } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await openRig()
})
afterAll(async () => {
  await rig.close()
})

const GONE = 'https://www.ridgepost.example/gone'
const PLACE = { w: 640, h: 360, plcmt: 1, startdelay: 0, linearity: 1 }
const WEBM = ['video/webm']
const WHOLE = ['impression', 'start', 'firstQuartile', 'midpoint', 'thirdQuartile', 'complete']
/** The same in the words of our own events. */
const OURS = ['impression', 'start', 'first-quartile', 'midpoint', 'third-quartile', 'complete'].map(
  each => `${each} 200`,
)
const isTracker = ({ host, query }: Hit) => host.startsWith('metrics.') && query.e !== undefined
/** The first two are called at the same moment, and may come in either order. */
const eventsOf = (hits: readonly Hit[]) => {
  const events = hits.map(hit => hit.query.e)
  return [...events.slice(0, 2).sort(), ...events.slice(2)]
}

async function playing(bid: Bid, speed: number, mimes: readonly string[] = WEBM): Promise<Page> {
  const page = await rig.page()
  rig.web.forget()
  expect(await stageOf(page).vast(bid.adm, { mimes, width: PLACE.w, speed })).toBe('playing')
  return page
}

async function until(page: Page, state: string): Promise<void> {
  await page.locator(`#place[data-state=${state}]`).waitFor({ state: 'attached', timeout: 40_000 })
}

describe('a video in VAST', () => {
  const versions = Object.entries(VAST_PROTOCOLS)

  test.each(versions)('%s plays to its end, and each event is told once and in order', async (version, protocol) => {
    const bid = await rig.bid('cinema-now', { video: { ...PLACE, mimes: WEBM, protocols: [protocol] } })
    expect(bid).toMatchObject({ mtype: 2, protocol })
    expect(bid.adm).toContain(`<VAST version="${version}"`)
    const page = await playing(bid, 8)
    await until(page, 'complete')
    const hits = await rig.web.hitsOf(isTracker, WHOLE.length)
    expect(eventsOf(hits)).toEqual(WHOLE)
    expect(hits.every(hit => /^\d{8}$/.test(hit.query.cb ?? ''))).toBe(true)
    expect((await rig.told(OURS.length)).toSorted()).toEqual(OURS.toSorted())
    await page.close()
  })

  test('looks like a film, with its companion beside it', async () => {
    const bid = await rig.bid('cinema-now', { video: { ...PLACE, mimes: WEBM, protocols: [15] } })
    const page = await playing(bid, 1)
    await page.waitForTimeout(1_500)
    const [seen] = await rig.seen(page, 'video-playing', page.locator('#place .media'))
    expect(seen?.distinct).toBeGreaterThan(60)
    const picture = page.locator('#beside img').first()
    expect(await picture.evaluate(each => each instanceof HTMLImageElement && each.naturalWidth)).toBe(300)
    expect(await page.locator('#beside').locator('iframe').first().boundingBox()).toMatchObject({
      width: 728,
      height: 90,
    })
    await page.close()
  })

  test('plays as MP4 where the place takes nothing else', async () => {
    const mimes = ['video/mp4']
    const bid = await rig.bid('acme-outdoor', { video: { ...PLACE, mimes, protocols: [13], maxduration: 6 } })
    const page = await playing(bid, 8, mimes)
    await until(page, 'complete')
    expect(eventsOf(await rig.web.hitsOf(isTracker, WHOLE.length))).toEqual(WHOLE)
    expect(await page.locator('#place .media').getAttribute('src')).toMatch(/\.mp4$/)
    await page.close()
  })

  test('tells of pause, resume, mute, unmute and a click', async () => {
    const bid = await rig.bid('cinema-now', { video: { ...PLACE, mimes: WEBM, protocols: [13] } })
    const page = await playing(bid, 0.5)
    for (const name of ['pause', 'pause', 'mute', 'mute']) await page.locator(`#place .${name}`).click()
    const opened = page.waitForEvent('popup')
    await page.locator('#place .visit').click()
    expect(new URL((await opened).url()).host).toMatch(new RegExp(`${bid.adomain[0]}$`))
    const hits = await rig.web.hitsOf(isTracker, 7)
    expect(eventsOf(hits)).toEqual(['impression', 'start', 'pause', 'resume', 'mute', 'unmute', 'clickTracking'])
    await page.close()
  })
})

describe('a video that cannot be played', () => {
  const broken = [
    ['whose file is gone', '401', (adm: string) => adm.replaceAll(/https:\/\/video\.[^\]]*/g, GONE)],
    ['without a file that the place takes', '403', (adm: string) => adm.replaceAll('video/webm', 'video/ogg')],
    ['that is no VAST', '100', () => '<html>busy</html>'],
  ] as const

  test.each(broken)('%s ends with error %s, told where there is somebody to tell', async (_, code, change) => {
    const bid = await rig.bid('cinema-now', { video: { ...PLACE, mimes: WEBM, protocols: [13] } })
    const page = await rig.page()
    rig.web.forget()
    const outcome = await stageOf(page).vast(change(bid.adm), { mimes: WEBM, width: 640, speed: 1 })
    expect(outcome).toMatch(new RegExp(`^VAST error ${code}`))
    if (code !== '100') expect((await rig.web.hitsOf(isTracker, 1)).map(hit => hit.query.code)).toEqual([code])
    expect(eventsOf(rig.web.hits).includes('impression')).toBe(false)
    await page.close()
  })
})

describe('a video that can be skipped', () => {
  test('offers it after its seconds and not before', async () => {
    const bid = await rig.bid('acme-outdoor', {
      video: { ...PLACE, mimes: WEBM, protocols: [3], minduration: 30, skip: 1 },
    })
    expect(bid.adm).toContain('skipoffset="00:00:05"')
    const page = await playing(bid, 2)
    const skip = page.locator('#place .skip')
    expect(await skip.isDisabled()).toBe(true)
    expect(await skip.textContent()).toMatch(/^Skip in [1-5]$/)
    await page.screenshot({ path: screenshot('video-skip-later') })
    await page.locator('#place .skip:enabled').waitFor()
    const atS = await page
      .locator('#place .media')
      .evaluate(each => each instanceof HTMLVideoElement && each.currentTime)
    expect(atS).toBeGreaterThanOrEqual(5)
    expect(atS).toBeLessThan(7)
    await page.screenshot({ path: screenshot('video-skip-now') })
    await skip.click()
    await until(page, 'skipped')
    expect(eventsOf(await rig.web.hitsOf(isTracker, 3))).toEqual(['impression', 'start', 'skip'])
    expect(await page.locator('#place .media').count()).toBe(0)
    await page.close()
  })
})

describe('a wrapper', () => {
  const ask = { mimes: WEBM, protocols: [VAST_WRAPPER_PROTOCOLS['4.2']] }
  const pmp = { private_auction: 1, deals: [{ id: 'PEAK-AGENCY-WINTER' }] }

  test('is followed, and both it and what it leads to are told', async () => {
    const bid = await rig.bid('acme-outdoor', { video: { ...PLACE, ...ask }, pmp })
    const page = await playing(bid, 8)
    await until(page, 'complete')
    const ours = await rig.web.hitsOf(hit => hit.host === 'metrics.acme-outdoor.example', 2)
    expect(eventsOf(ours)).toEqual(['complete', 'impression'])
    expect(eventsOf(await rig.web.hitsOf(hit => hit.host === 'metrics.agency.example', 2))).toEqual([
      'impression',
      'start',
    ])
    await page.close()
  })

  test('whose tag is gone is told as an error with its number', async () => {
    const bid = await rig.bid('acme-outdoor', { video: { ...PLACE, ...ask }, pmp })
    const page = await rig.page()
    rig.web.forget()
    const gone = bid.adm.replace(/https:\/\/ads\.[^<\]]*/, GONE)
    const outcome = await stageOf(page).vast(gone, { mimes: WEBM, width: 640, speed: 1 })
    expect(outcome).toMatch(/^VAST error 301/)
    const [hit] = await rig.web.hitsOf(isTracker, 1)
    expect(hit?.query).toMatchObject({ e: 'error', code: '301' })
    await page.close()
  })
})
