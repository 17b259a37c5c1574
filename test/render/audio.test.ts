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

const MIMES = ['audio/mpeg']
const WHOLE = ['impression', 'start', 'firstQuartile', 'midpoint', 'thirdQuartile', 'complete']
const isTracker = ({ host, query }: Hit) => host.startsWith('metrics.') && query.e !== undefined

describe('an audio ad', () => {
  test('is heard to its end, with its companions beside the player', async () => {
    const bid = await rig.bid('acme-outdoor', { audio: { mimes: MIMES, protocols: [13], minduration: 30 } })
    expect(bid).toMatchObject({ mtype: 3, crid: 'cr-acme-spot-30' })
    const page = await rig.page()
    rig.web.forget()
    expect(await stageOf(page).vast(bid.adm, { mimes: MIMES, width: 640, speed: 8 })).toBe('playing')
    await page.waitForTimeout(800)
    await rig.drawn(page)
    await page.screenshot({ path: screenshot('audio-playing') })
    expect(await page.locator('#beside img').evaluate(each => [each.clientWidth, each.clientHeight])).toEqual([
      300, 250,
    ])
    expect(await page.frameLocator('#beside iframe').locator('a').textContent()).toContain('The trail report')
    await page.locator('#place[data-state=complete]').waitFor()
    const hits = await rig.web.hitsOf(isTracker, 6)
    expect(hits.map(hit => hit.query.e).sort()).toEqual([...WHOLE].sort())
    expect(await rig.told(WHOLE.length)).toHaveLength(WHOLE.length)
    await page.close()
  })

  test('of an agency is fetched through its wrapper', async () => {
    const audio = { mimes: MIMES, protocols: [6], minduration: 20, maxduration: 20 }
    const bid = await rig.bid('acme-outdoor', { audio })
    expect(bid.adm).toContain('<VASTAdTagURI>')
    const page = await rig.page()
    rig.web.forget()
    expect(await stageOf(page).vast(bid.adm, { mimes: MIMES, width: 640, speed: 8 })).toBe('playing')
    const hits = await rig.web.hitsOf(hit => hit.host === 'metrics.agency.example', 2)
    expect(hits.map(hit => hit.query.e).sort()).toEqual(['impression', 'start'])
    await page.close()
  })
})
