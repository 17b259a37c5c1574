import { describe, expect, test } from 'vitest'
import { elementsNamed, parseXml, type XmlElement } from '../../loadtest/xml.ts'
import { type AudioCreative, VAST_PROTOCOLS, type VideoCreative } from '../state/creative-document.ts'
import { vastOf } from './vast.ts'

const VERSIONS = Object.keys(VAST_PROTOCOLS) as VideoCreative['vastVersion'][]
const ADVERTISER = { id: 'ad', name: 'Smith & "Sons" <Ltd>', domain: 'shop.example', categories: [] }

function creative(vastVersion: VideoCreative['vastVersion'], more: Partial<VideoCreative> = {}): VideoCreative {
  const file = { mime: 'video/mp4', width: 1280, height: 720, bitrateKbps: 2500 } as const
  return {
    ...{ id: 'cr-1', name: 'One', advertiserId: 'ad', status: 'active', format: 'video', width: 1280, height: 720 },
    ...{ title: 'A & B <"\'> \u0001 Zürich', durationS: 75, vastVersion, landingUrl: 'https://shop.example/?a=1&b=2' },
    mediaFiles: [
      { ...file, url: 'https://cdn.example/a.mp4?x=1&y=2' },
      { ...file, mime: 'video/webm', url: 'https://cdn.example/a.webm' },
    ],
    ...more,
  }
}

const namesOf = (element: XmlElement | undefined) => element?.children.map(child => child.name)
const only = (root: XmlElement, name: string): XmlElement => {
  const found = elementsNamed(root, name)
  expect(found.length, name).toBe(1)
  return found[0] as XmlElement
}

/** The order in the IAB's schemas; 4.2's is a sequence for Creative too. */
const INLINE = {
  2: ['AdSystem', 'AdTitle', 'Impression', 'Creatives'],
  3: ['AdSystem', 'AdTitle', 'Advertiser', 'Impression', 'Creatives'],
  4: ['AdSystem', 'Impression', 'AdTitle', 'Advertiser', 'Creatives'],
  4.1: ['AdSystem', 'Impression', 'AdServingId', 'AdTitle', 'Advertiser', 'Creatives'],
}

describe.each(VERSIONS)('VAST %s', version => {
  const root = parseXml(vastOf(creative(version, { skipAfterS: 5 }), ADVERTISER))
  const major = Number(version[0])

  test('is well-formed and says its version', () => {
    expect(root.name).toBe('VAST')
    expect(root.attributes.get('version')).toBe(version)
  })

  test("has its elements in the schema's order", () => {
    const inline = version >= '4.1' ? INLINE['4.1'] : INLINE[major as 2 | 3 | 4]
    expect(namesOf(only(root, 'InLine'))).toEqual(inline)
    const media = major >= 4 ? ['Duration', 'MediaFiles', 'VideoClicks'] : ['Duration', 'VideoClicks', 'MediaFiles']
    expect(namesOf(only(root, 'Linear'))).toEqual(media)
    expect(namesOf(only(root, 'Creative'))).toEqual(major >= 4 ? ['Linear', 'UniversalAdId'] : ['Linear'])
  })

  test('carries title, owner, addresses and length as they are', () => {
    expect(only(root, 'AdTitle').text).toBe('A & B <"\'>  Zürich')
    expect(elementsNamed(root, 'Advertiser').map(({ text }) => text)).toEqual(major >= 3 ? [ADVERTISER.name] : [])
    expect(elementsNamed(root, 'MediaFile').map(({ text }) => text)).toEqual([
      'https://cdn.example/a.mp4?x=1&y=2',
      'https://cdn.example/a.webm',
    ])
    expect(only(root, 'ClickThrough').text).toBe('https://shop.example/?a=1&b=2')
    expect(only(root, 'Duration').text).toBe('00:01:15')
    expect(elementsNamed(root, 'Impression').length).toBe(1)
  })

  test('gives each media file its delivery, type and size', () => {
    for (const file of elementsNamed(root, 'MediaFile')) {
      expect(file.attributes.get('delivery')).toBe('progressive')
      expect(file.attributes.get('type')).toMatch(/^video\/(mp4|webm)$/)
      expect([file.attributes.get('width'), file.attributes.get('height')]).toEqual(['1280', '720'])
    }
  })

  test('says when it can be skipped where the version can, and nothing when it cannot be skipped', () => {
    expect(only(root, 'Linear').attributes.get('skipoffset')).toBe(major >= 3 ? '00:00:05' : undefined)
    const fixed = parseXml(vastOf(creative(version), ADVERTISER))
    expect(only(fixed, 'Linear').attributes.has('skipoffset')).toBe(false)
  })
})

test('a length of an hour is written in hours', () => {
  const root = parseXml(vastOf(creative('4.2', { durationS: 3_600 }), ADVERTISER))
  expect(only(root, 'Duration').text).toBe('01:00:00')
})

const CALLED = ['impression', 'clickTracking', 'error', 'start', 'midpoint', 'complete', 'skip'] as const
const FULL: Partial<VideoCreative> = {
  trackers: [...CALLED, 'impression' as const].map((event, i) => ({ event, url: `https://t.example/${event}?n=${i}` })),
  companions: [
    {
      ...{ width: 300, height: 250 },
      content: {
        ...{ kind: 'image', url: 'https://cdn.example/c.png', mime: 'image/png', alt: 'A & B' },
        landingUrl: 'https://shop.example/companion',
      },
    },
    { width: 728, height: 90, content: { kind: 'html', html: '<script>if (a[b[0]]>1) go()</script>' } },
  ],
  universalAdId: { registry: 'ad-id.org', value: 'CNPA0484000H' },
}
/** What the schemas of the IAB name first to last; each element may lack. Checked against their .xsd by xmllint. */
const ORDER: Readonly<Record<string, { readonly before4: string; readonly from4: string }>> = {
  InLine: {
    before4: 'AdSystem AdTitle Advertiser Error Impression Creatives',
    from4: 'AdSystem Error Impression AdServingId AdTitle Advertiser Creatives',
  },
  Wrapper: {
    before4: 'AdSystem VASTAdTagURI Error Impression Creatives',
    from4: 'AdSystem Error Impression Creatives VASTAdTagURI',
  },
  Creative: { before4: 'Linear CompanionAds', from4: 'CompanionAds Linear UniversalAdId' },
  Linear: {
    before4: 'Duration TrackingEvents VideoClicks MediaFiles',
    from4: 'TrackingEvents Duration MediaFiles VideoClicks',
  },
  VideoClicks: { before4: 'ClickThrough ClickTracking', from4: 'ClickTracking ClickThrough' },
  Companion: {
    before4: 'StaticResource HTMLResource CompanionClickThrough AltText',
    from4: 'HTMLResource StaticResource AltText CompanionClickThrough',
  },
}

/** Elements whose children are unknown to the order, or out of it. */
function misplaced(element: XmlElement, major: number): readonly string[] {
  const order = ORDER[element.name]?.[major >= 4 ? 'from4' : 'before4'].split(' ')
  const places = order === undefined ? [] : element.children.map(child => order.indexOf(child.name))
  const wrong = places.some((place, i) => place < 0 || place < (places[i - 1] ?? 0))
  return [...(wrong ? [element.name] : []), ...element.children.flatMap(child => misplaced(child, major))]
}

describe.each(VERSIONS)('a full VAST %s', version => {
  const major = Number(version[0])
  const root = parseXml(vastOf(creative(version, FULL), ADVERTISER))
  const urls = (name: string) => elementsNamed(root, name).map(({ text }) => text)

  test("keeps the schema's order, in line and as a wrapper", () => {
    const wrapper = { vastTagUrl: 'https://tags.example/v?a=1&b=2', mimes: ['video/mp4'] } as const
    const wrapping = parseXml(vastOf(creative(version, { ...FULL, mediaFiles: [], wrapper }), ADVERTISER))
    expect(misplaced(root, major)).toEqual([])
    expect(misplaced(wrapping, major)).toEqual([])
    expect(only(wrapping, 'VASTAdTagURI').text).toBe('https://tags.example/v?a=1&b=2')
    expect(elementsNamed(wrapping, 'MediaFile')).toEqual([])
  })

  test('tells impressions, errors, clicks and progress to whoever wants to know', () => {
    expect(urls('Impression')).toEqual(['https://t.example/impression?n=0', 'https://t.example/impression?n=7'])
    expect(urls('Error')).toEqual(['https://t.example/error?n=2'])
    expect(urls('ClickTracking')).toEqual(['https://t.example/clickTracking?n=1'])
    const events = elementsNamed(root, 'Tracking').map(each => each.attributes.get('event'))
    expect(events).toEqual(['start', 'midpoint', 'complete', ...(major >= 3 ? ['skip'] : [])])
  })

  test('has its companions, whose markup stays as it is', () => {
    expect(elementsNamed(root, 'Companion').map(each => each.attributes.get('width'))).toEqual(['300', '728'])
    expect(urls('HTMLResource')).toEqual(['<script>if (a[b[0]]>1) go()</script>'])
    expect(urls('CompanionClickThrough')).toEqual(['https://shop.example/companion'])
  })

  test('names its registry in every creative, from VAST 4 on', () => {
    const named = elementsNamed(root, 'UniversalAdId').map(each => [each.attributes.get('idRegistry'), each.text])
    expect(named).toEqual(major >= 4 ? Array(2).fill(['ad-id.org', 'CNPA0484000H']) : [])
  })

  test('gives what is only heard no size', () => {
    const heard: AudioCreative = {
      ...{ id: 'au', name: 'A', advertiserId: 'ad', status: 'active', format: 'audio', title: 'T', durationS: 20 },
      ...{ vastVersion: version, landingUrl: 'https://shop.example/' },
      mediaFiles: [{ url: 'https://cdn.example/a.mp3', mime: 'audio/mpeg', bitrateKbps: 128 }],
    }
    const file = only(parseXml(vastOf(heard, ADVERTISER)), 'MediaFile')
    expect(['type', 'width', 'height'].map(name => file.attributes.get(name))).toEqual(['audio/mpeg', '0', '0'])
  })
})
