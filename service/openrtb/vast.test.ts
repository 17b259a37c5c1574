import { describe, expect, test } from 'vitest'
import { elementsNamed, parseXml, type XmlElement } from '../../loadtest/xml.ts'
import { VAST_PROTOCOLS, type VideoCreative } from '../state/documents.ts'
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
