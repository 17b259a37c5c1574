import { describe, expect, test } from 'vitest'
import { CAP_SUBJECTS } from '../state/cap-fields.ts'
import { readIdentities } from './identities.ts'

const IFA = '5b2d1f0e-7c8a-4f6e-9d3c-2a1b0c9d8e7f'
const EVERYBODY = 2 ** CAP_SUBJECTS.length - 1
const read = (request: object, exchangeId = 'adx', salt = 7, subjects = EVERYBODY) =>
  readIdentities(request as Parameters<typeof readIdentities>[0], exchangeId, { salt, subjects })
/** The two words of one subject as text; '' = nobody. */
function of(subject: (typeof CAP_SUBJECTS)[number], ...[request, exchangeId, salt]: Parameters<typeof read>): string {
  const at = 2 * CAP_SUBJECTS.indexOf(subject)
  const words = read(request, exchangeId, salt).subarray(at, at + 2)
  return words.every(word => word === 0) ? '' : words.join(' ')
}

describe('who a request is about', () => {
  test('is the same user by our own id at every exchange, by theirs at theirs alone', () => {
    const ours = { user: { buyeruid: 'u-1', id: 'x' } }
    expect(of('user', ours, 'adx')).not.toBe('')
    expect(of('user', ours, 'adx')).toBe(of('user', { user: { buyeruid: 'u-1', id: 'y' } }, 'other'))
    expect(of('user', { user: { id: 'x' } }, 'adx')).toBe(of('user', { user: { id: 'x' } }, 'adx'))
    expect(of('user', { user: { id: 'x' } }, 'adx')).not.toBe(of('user', { user: { id: 'x' } }, 'other'))
  })

  test('is a user by a shared id in either place of OpenRTB, then by the device', () => {
    const eids = [{ source: 'id.example', uids: [{ id: 'e-1' }, { id: 'e-2' }] }]
    expect(of('user', { user: { eids } })).not.toBe('')
    expect(of('user', { user: { eids } })).toBe(of('user', { user: { ext: { eids } } }))
    expect(of('user', { user: {}, device: { ifa: IFA } })).toBe(of('device', { device: { ifa: IFA.toUpperCase() } }))
    expect(of('device', { device: { ifa: '00000000-0000-0000-0000-000000000000' } })).toBe('')
  })

  test('is a household by the whole IPv4 address, or by the part of an IPv6 address that a home keeps', () => {
    const v4 = of('household', { device: { ip: '192.0.2.77' } })
    expect(v4).not.toBe('')
    expect(of('household', { device: { ip: '192.0.2.78' } })).not.toBe(v4)
    expect(of('household', { device: { ip: '192.0.2.0' } })).toBe('')
    const v6 = of('household', { device: { ipv6: '2001:db8:12:34:aaaa::1' } })
    expect(v6).toBe(of('household', { device: { ip: '192.0.2.0', ipv6: '2001:db8:12:34::2' } }))
    expect(v6).not.toBe(of('household', { device: { ipv6: '2001:db8:12:35::1' } }))
  })

  test('is read of those that caps count, as if all were read, and of nobody else', () => {
    const device = { ifa: IFA, ip: '192.0.2.77' }
    for (const request of [{ user: { buyeruid: 'u-1' }, device }, { device }])
      for (let subjects = 0; subjects <= EVERYBODY; subjects++) {
        const all = read(request)
        const asked = all.map((word, at) => (subjects & (1 << (at >>> 1)) ? word : 0))
        expect(read(request, 'adx', 7, subjects)).toEqual(asked)
      }
  })

  test('is somebody else for another tenant, and nobody where nothing says who', () => {
    const request = { user: { buyeruid: 'u-1' }, device: { ifa: IFA, ip: '192.0.2.77' } }
    for (const subject of CAP_SUBJECTS) {
      expect(of(subject, request, 'adx', 7)).not.toBe(of(subject, request, 'adx', 8))
      expect(of(subject, { user: { id: 5, eids: [{ uids: {} }] }, device: { ip: 'x', ifa: {} } })).toBe('')
    }
  })
})
