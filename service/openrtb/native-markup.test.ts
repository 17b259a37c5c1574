import { describe, expect, test } from 'vitest'
import { judgeNative } from '../../loadtest/acceptance-native.ts'
import { compiledTenant, sampleTenant } from '../../test/sample-catalog.ts'
import { nativeFits } from '../decision/native-fit.ts'
import { FORMAT } from '../state/catalog.ts'
import type { NativeCreative } from '../state/creative-document.ts'
import type { Advertiser } from '../state/documents.ts'
import { creativeFragment } from './creative-fragment.ts'
import { nativeFragment } from './native-markup.ts'
import { readNative } from './read-native.ts'

const documents = sampleTenant('acme-outdoor')
const catalog = compiledTenant(documents)
const creative = catalog.columns.creativeFormat.indexOf(FORMAT.native)
const document = documents.creatives.find((each): each is NativeCreative => each.format === 'native') as NativeCreative
const advertiser = documents.advertisers.find(({ id }) => id === document.advertiserId) as Advertiser

/** The bid's members for a request, undefined when the creative does not fit. The judge looks at each. */
function answer(request: object | string, native: object = {}) {
  const asked = { request, ...native }
  const offer = readNative(asked, true)
  if (offer === undefined || !nativeFits(catalog.columns, creative, offer)) return undefined
  const said = JSON.parse(
    `{${nativeFragment(creativeFragment(document, advertiser), catalog.columns, creative, offer)}}`,
  )
  const broken: unknown[] = []
  judgeNative(asked, said.adm, (rule, found) => broken.push([rule, found]))
  expect(broken).toEqual([])
  return { ...said, adm: JSON.parse(said.adm) }
}

const TITLE = { id: 1, required: 1, title: { len: 90 } }

describe('native markup', () => {
  test('is a bid without a size, whose parts have the ids that were asked for', () => {
    const said = answer({
      ver: '1.2',
      assets: [
        { ...TITLE, id: 40 },
        { id: 0, data: { type: 12 } },
      ],
    })
    expect(said).toMatchObject({ crid: 'cr-acme-tile', mtype: 4, cat: expect.arrayContaining(['IAB18']) })
    expect(said).not.toHaveProperty('w')
    expect(said.adm.assets.map(({ id }: { id: number }) => id)).toEqual([40, 0])
    expect(said.adm.link.clicktrackers).toHaveLength(1)
  })

  test.each([
    [90, 'Ten boots for ten kinds of winter, tested on the ridge by people who walk it'],
    [76, 'Ten boots for ten kinds of winter, tested on the ridge by people who walk it'],
    [75, 'Ten boots for ten kinds of winter'],
    [16, 'Boots for winter'],
    [15, undefined],
  ])('shows the first title that fits %d characters', (len, title) => {
    expect(answer({ assets: [{ ...TITLE, title: { len } }] })?.adm.assets[0].title.text).toBe(title)
  })

  test('takes an exact size as exact and the least size as the least', () => {
    const shown = (img: object) => answer({ assets: [{ id: 1, required: 1, img }] })?.adm.assets[0].img.w
    expect(shown({ type: 3, w: 300, h: 250 })).toBe(300)
    expect(shown({ type: 3, w: 300, h: 251 })).toBeUndefined()
    expect(shown({ type: 3, wmin: 300, hmin: 200 })).toBe(1200)
    expect(shown({ type: 1, mimes: ['image/png'] })).toBe(80)
    expect(shown({ type: 1, mimes: ['image/gif'] })).toBeUndefined()
  })

  test('leaves out what it has not, unless that is required or nothing is left', () => {
    const video = { id: 2, video: { mimes: ['video/mp4'] } }
    expect(answer({ assets: [TITLE, video] })?.adm.assets).toHaveLength(1)
    expect(answer({ assets: [TITLE, { ...video, required: 1 }] })).toBeUndefined()
    expect(answer({ assets: [video] })).toBeUndefined()
  })

  test('is rooted as the request is, and says its version', () => {
    const request = { ver: '1.1', assets: [TITLE] }
    expect(answer(JSON.stringify(request))?.adm.ver).toBe('1.1')
    expect(answer({ native: request })?.adm.native.ver).toBe('1.1')
    expect(answer({ assets: [TITLE] }, { ver: '1.0' })?.adm.native.ver).toBe('1.0')
  })

  test('reports the events that were asked for in the ways that were asked for', () => {
    const trackers = (...eventtrackers: object[]) => answer({ assets: [TITLE], eventtrackers })?.adm.eventtrackers
    const kinds = (found: { event: number; method: number }[]) => found.map(({ event, method }) => [event, method])
    expect(kinds(trackers({ event: 1, methods: [1, 2] }))).toEqual([
      [1, 1],
      [1, 2],
    ])
    expect(kinds(trackers({ event: 2, methods: [1, 2] }))).toEqual([[2, 1]])
    expect(trackers({ event: 3, methods: [1] })).toBeUndefined()
    const old = answer({ assets: [TITLE] })?.adm
    expect(old.imptrackers).toEqual(['https://metrics.acme-outdoor.example/native?e=impression'])
    expect(old).not.toHaveProperty('eventtrackers')
  })

  test('links to the privacy notice only where the page can show it', () => {
    expect(answer({ assets: [TITLE], privacy: 1 })?.adm.privacy).toBe('https://www.acme-outdoor.example/privacy')
    expect(answer({ assets: [TITLE] })?.adm).not.toHaveProperty('privacy')
  })
})

test.each(['', '{', '[]', '"x"', '{}', '{"assets":[]}', '{"assets":[{"title":{}}]}', null, 7, []])(
  'a request that asks for nothing that can be read is no place: %j',
  request => expect(readNative({ request }, true)).toBeUndefined(),
)
