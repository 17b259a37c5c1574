import { describe, expect, test } from 'vitest'
import { userDataAllowed } from './privacy.ts'

const SIGNALS: readonly (readonly [string, object])[] = [
  ['COPPA in regs', { regs: { coppa: 1 } }],
  ['limited ad tracking', { device: { lmt: 1 } }],
  ['do not track', { device: { dnt: 1 } }],
  ['GDPR in its 2.6 place', { regs: { gdpr: 1 } }],
  ['GDPR in its 2.5 place', { regs: { ext: { gdpr: 1 } } }],
  ['a US-privacy string in its 2.6 place', { regs: { us_privacy: '1---' } }],
  ['a US-privacy string in its 2.5 place', { regs: { ext: { us_privacy: '1YNN' } } }],
  ['a GPP string in its 2.6 place', { regs: { gpp: 'DBAA' } }],
  ['a GPP string in its 2.5 place', { regs: { ext: { gpp: 'DBABMA~CPXxRfAPXxRfAAfKABENB-CgAAAAAAAAAAYgAAAAAAAA' } } }],
  ['GPC as text', { regs: { ext: { gpc: '1' } } }],
  ['GPC as a number', { regs: { ext: { gpc: 1 } } }],
  ['sections of GPP without its string', { regs: { gpp_sid: [7] } }],
  ['sections of GPP in their 2.5 place', { regs: { ext: { gpp_sid: [2, 6] } } }],
  ['a privacy string that is too long to be real', { regs: { gpp: 'D'.repeat(100_000) } }],
]

/** What a sender says who knows the fields and has nothing to restrict. */
const PERMISSIVE = {
  regs: { coppa: 0, gdpr: 0, us_privacy: '', gpp: '', ext: { gdpr: 0, us_privacy: '', gpp: '', gpc: '0' } },
  device: { lmt: 0, dnt: 0 },
}

describe('user data', () => {
  test.each(SIGNALS)('is not used when there is %s and nothing else', (_, request) => {
    expect(userDataAllowed({ id: '1', ...request })).toBe(false)
  })

  test.each(SIGNALS)('is not used when there is %s beside signals that allow', (_, request) => {
    const { regs = {}, device = {} } = request as { regs?: { ext?: object }; device?: object }
    const ext = { ...PERMISSIVE.regs.ext, ...regs.ext }
    const merged = {
      regs: { ...PERMISSIVE.regs, ...regs, ext },
      device: { ...PERMISSIVE.device, ...device },
    }
    expect(userDataAllowed(merged)).toBe(false)
  })

  test.each([
    ['in its 2.6 place', { user: { consent: 'CPXxRfAPXxRfA' } }],
    ['in its 2.5 place', { user: { ext: { consent: 'CPXxRfAPXxRfA' } } }],
  ])('is not used when there is a consent string %s, unless GDPR is said not to apply', (_, request) => {
    expect(userDataAllowed(request)).toBe(false)
    expect(userDataAllowed({ ...request, regs: { gdpr: 0 } })).toBe(true)
    expect(userDataAllowed({ ...request, regs: { ext: { gdpr: 0 } } })).toBe(true)
    expect(userDataAllowed({ ...request, regs: { gdpr: 0, coppa: 1 } })).toBe(false)
  })

  test.each([
    ['nothing is said', {}],
    ['every signal allows', PERMISSIVE],
    ['the holders are of a wrong type', { regs: 'x', device: [1] }],
    ['the fields are null', { regs: { coppa: null, gdpr: null, ext: null }, device: { lmt: null } }],
  ])('may be used when %s', (_, request) => {
    expect(userDataAllowed(request)).toBe(true)
  })

  test.each([
    ['a number as text', { regs: { coppa: '1' } }],
    ['true', { device: { lmt: true } }],
    ['an object', { regs: { ext: { gdpr: {} } } }],
    ['a number that is not 1', { regs: { gdpr: 2 } }],
  ])('is not used when a signal is %s, because the sender means it', (_, request) => {
    expect(userDataAllowed(request)).toBe(false)
  })
})
