import { describe, expect, test } from 'vitest'
import type { FactValue } from '../decision/opportunity.ts'
import { dimensionOf, REQUEST_DIMENSIONS, type RequestDimension } from '../state/dimensions.ts'
import { readFacts } from './read-facts.ts'
import { readAgent } from './user-agent.ts'

/** Saturday, 22:30 UTC. */
const NOW_MS = Date.parse('2026-11-21T22:30:00Z')

function facts(request: object, personal = true): Readonly<Record<RequestDimension, FactValue>> {
  const terms = { exchangeId: 'adx', daypart: '5', nowMs: NOW_MS, personal, targeted: REQUEST_DIMENSIONS, readAgent }
  const { values } = readFacts({ ...request }, terms)
  return Object.fromEntries(REQUEST_DIMENSIONS.map((name, i) => [name, values[i] as FactValue])) as never
}

const CHROME = 'Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36'
const geo = (fields: object) => ({ device: { geo: { country: 'USA', ...fields } } })

describe('a fact', () => {
  test.each<[RequestDimension, object, FactValue]>([
    ['exchange', {}, 'adx'],
    ['metro', geo({ metro: '501' }), '501'],
    ['metro', geo({ metro: 501 }), ''],
    ['city', geo({ city: ' San Francisco ' }), 'san francisco'],
    ['postal', geo({ zip: '9 4-1' }), ['USA 941', 'USA 9*', 'USA 94*', 'USA 941*']],
    ['postal', geo({ zip: 'x'.repeat(40) }), []],
    ['postal', { device: { geo: { zip: '94103' } } }, []],
    ['deviceType', { device: { devicetype: 4 } }, '4'],
    ['make', { device: { make: 'Apple' } }, 'apple'],
    ['model', { device: { model: 'iPhone' } }, 'iphone'],
    ['os', { device: { os: 'iOS' } }, 'ios'],
    ['os', { device: { sua: { platform: { brand: 'Windows' } } } }, 'windows'],
    ['os', { device: { ua: CHROME } }, 'android'],
    ['osVersion', { device: { os: 'iOS', osv: '15.2' } }, ['ios 15.2']],
    ['osVersion', { device: { os: 'iOS', sua: { platform: { version: ['17', '1'] } } } }, ['ios 17.1']],
    ['osVersion', { device: { ua: CHROME } }, ['android 15']],
    ['osVersion', { device: { os: 'iOS', osv: 'beta' } }, []],
    ['osVersion', { device: { osv: '15.2' } }, []],
    ['near', geo({ lat: 52.52, lon: 13.405 }), ['52.52,13.405']],
    ['near', geo({ lat: -1e-9, lon: 1e300 }), ['0,1e+300']],
    ['near', geo({ lat: '52', lon: 13 }), []],
    ['ip', { device: { ip: '192.0.2.1', ipv6: '2001:db8::1' } }, ['192.0.2.1', '2001:db8::1']],
    ['app', { app: { bundle: 'com.a', id: '9' } }, ['com.a']],
    ['browser', { device: { sua: { browsers: [{ brand: 'Microsoft Edge' }] }, ua: CHROME } }, 'edge'],
    ['browser', { device: { ua: CHROME } }, 'chrome'],
    ['browser', { device: { ua: 7 } }, ''],
    ['connectionType', { device: { connectiontype: 2 } }, '2'],
    ['connectionType', { device: { connectiontype: 0 } }, ''],
    ['carrier', { device: { mccmnc: '310-260', carrier: 'T-Mobile' } }, ['310-260', 't-mobile']],
    ['inventory', { site: {} }, 'site'],
    ['inventory', { app: {} }, 'app'],
    ['inventory', { dooh: {} }, 'dooh'],
    ['inventory', {}, ''],
    ['publisher', { app: { publisher: { id: 'pub-7' } } }, ['pub-7', 'adx/pub-7']],
    ['publisher', { site: { publisher: {} } }, []],
    ['category', { site: { cat: ['IAB1'], sectioncat: ['IAB2'] } }, ['IAB1', 'IAB2']],
    ['pageCategory', { site: { cat: ['IAB1'], sectioncat: ['IAB2-1'] } }, ['IAB2-1', 'IAB2']],
    ['contentCategory', { app: { content: { cat: ['IAB1-5'] } } }, ['IAB1-5', 'IAB1']],
    ['contentCategory', { app: { content: { cat: ['150'], cattax: 7 } } }, []],
    ['keyword', { site: { keywords: 'Trail, RUNNING ,,' }, user: { kwarray: ['Golf'] } }, ['trail', 'running', 'golf']],
    ['keyword', { app: { content: { keywords: 'cook' }, kwarray: ['x', 5] } }, ['x', 'cook']],
    [
      'segment',
      { user: { data: [{ id: 'p', segment: [{ id: '1' }, {}] }, { segment: [{ id: '2' }] }] } },
      ['p/1', '2'],
    ],
    ['segment', { user: { data: [{ id: 'p', segment: { id: '1' } }, null] } }, []],
    ['daypart', {}, '5'],
    ['viewerDaypart', geo({ utcoffset: 0 }), String(5 * 24 + 22)],
    ['viewerDaypart', geo({ utcoffset: 120 }), String(6 * 24)],
    ['viewerDaypart', geo({ utcoffset: -30 }), String(5 * 24 + 22)],
    ['viewerDaypart', geo({ utcoffset: -31 }), String(5 * 24 + 21)],
    ['viewerDaypart', geo({ utcoffset: 841 }), ''],
    ['viewerDaypart', geo({}), ''],
  ])('%s of %j is %j', (name, request, value) => {
    expect(facts(request)[name]).toEqual(value)
  })

  test('is kept short, however much a request says', () => {
    const many = Array.from({ length: 5_000 }, (_, index) => ({ id: String(index) }))
    expect(facts({ user: { data: [{ segment: many }] } }).segment.length).toBe(256)
    expect(facts({ site: { keywords: 'a,'.repeat(90_000) } }).keyword.length).toBe(64)
  })
})

describe('without leave to use user data', () => {
  const user = { keywords: 'golf', data: [{ segment: [{ id: '1' }] }], geo: { country: 'USA', zip: '94103' } }
  const device = { geo: { country: 'DEU', zip: '10115', lat: 52.5, lon: 13.4 }, ip: '192.0.2.1' }

  test.each(REQUEST_DIMENSIONS.filter(name => dimensionOf(name).personal))('%s is unknown', name => {
    const request = { user, device }
    expect(facts(request, true)[name].length, 'the request says it').toBeGreaterThan(0)
    expect(facts(request, false)[name].length).toBe(0)
  })

  test('keywords are those of the page', () => {
    const request = { site: { keywords: 'news' }, user }
    expect(facts(request, true).keyword).toEqual(['news', 'golf'])
    expect(facts(request, false).keyword).toEqual(['news'])
  })

  test('the place is the device’s, never the user’s home', () => {
    expect(facts({ user }, true).country).toBe('USA')
    expect(facts({ user }, false).country).toBe('')
    expect(facts({ user, device }, false).country).toBe('DEU')
  })
})

describe('a dimension that nobody targets', () => {
  test('is not read', () => {
    const terms = { exchangeId: 'adx', daypart: '5', nowMs: NOW_MS, personal: true, targeted: ['country'] as const }
    const readAgentNever = () => {
      throw new Error('the user agent was read')
    }
    const request = { device: { ua: CHROME, make: 'Apple', geo: { country: 'USA' } } }
    const { values } = readFacts(request, { ...terms, readAgent: readAgentNever })
    expect(values.filter(value => value.length > 0)).toEqual(['USA'])
  })
})
