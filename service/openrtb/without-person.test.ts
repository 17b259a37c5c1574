import { expect, test } from 'vitest'
import { withoutPerson } from './without-person.ts'

test('a request that is kept has nothing that tells of a person, known or not', () => {
  const kept = withoutPerson({
    id: 'r-1',
    imp: [{ id: '1', banner: { w: 300, h: 250 } }],
    site: { domain: 'news.example', page: 'https://news.example/?mail=secret', keywords: 'secret', ref: 'secret' },
    device: {
      ...{ ua: 'secret', ip: '192.0.2.7', ipv6: '2001:db8::7', ifa: 'secret', dpidsha1: 'secret', os: 'ios' },
      geo: { country: 'USA', region: 'CA', lat: 1.5, lon: 2.5, zip: 'secret', city: 'secret' },
      ext: { id: 'secret' },
    },
    user: { id: 'secret', buyeruid: 'secret', data: [{ segment: [{ id: 'secret' }] }], eids: ['secret'] },
    regs: { gdpr: 1 },
    source: { tid: 'secret' },
    ext: { anything: 'secret' },
  })
  expect(JSON.stringify(kept)).not.toMatch(/secret|192\.0|2001|1\.5|2\.5/)
  expect(kept).toEqual({
    id: 'r-1',
    imp: [{ id: '1', banner: { w: 300, h: 250 } }],
    site: { domain: 'news.example' },
    device: { os: 'ios', geo: { country: 'USA', region: 'CA' } },
  })
})
