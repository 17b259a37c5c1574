import { hash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { Callers } from '../state/callers.ts'
import { CallerRule, callerNetwork } from './caller-rule.ts'

const SECRET = 'a-secret-of-an-exchange-that-nobody-guesses'
const hashed = (secret: string) => `sha256:${hash('sha256', secret, 'base64url')}`
const PEER = '10.0.0.9'

/** Why a request is refused, by what it says. */
function refusal(
  callers: Callers,
  { headers = [], pathSecret, hops = 1 }: { headers?: string[]; pathSecret?: string; hops?: number },
) {
  return new CallerRule(callers).refusal({ rawHeaders: headers, peer: PEER, pathSecret }, hops)
}

describe('a secret', () => {
  const inHeader: Callers = { secret: { in: 'header', header: 'x-api-key', hashes: [hashed('old'), hashed(SECRET)] } }
  test.each([
    ['that is right', ['X-Api-Key', SECRET], undefined],
    ['that is the other right one', ['x-api-key', 'old'], undefined],
    ['that is wrong', ['x-api-key', `${SECRET}x`], 'secret'],
    ['that is empty', ['x-api-key', ''], 'secret'],
    ['that is too long', ['x-api-key', 'x'.repeat(5_000)], 'secret'],
    ['that comes twice', ['x-api-key', SECRET, 'X-API-KEY', SECRET], 'secret'],
    ['that is its own hash', ['x-api-key', hashed(SECRET)], 'secret'],
    ['in another header', ['authorization', SECRET], 'secret'],
    ['that is not there', [], 'secret'],
  ])('in a header %s', (_what, headers, expected) => {
    expect(refusal(inHeader, { headers })).toBe(expected)
  })

  test('may come as a bearer token where no header is named', () => {
    const callers: Callers = { secret: { in: 'header', hashes: [hashed(SECRET)] } }
    expect(refusal(callers, { headers: ['Authorization', `Bearer ${SECRET}`] })).toBe(undefined)
    expect(refusal(callers, { headers: ['Authorization', SECRET] })).toBe(undefined)
    expect(refusal(callers, { headers: ['Authorization', `Basic ${SECRET}`] })).toBe('secret')
  })

  test('may stand in the path', () => {
    const callers: Callers = { secret: { in: 'path', hashes: [hashed(SECRET)] } }
    expect(refusal(callers, { pathSecret: SECRET })).toBe(undefined)
    expect(refusal(callers, { pathSecret: 'x' })).toBe('secret')
    expect(refusal(callers, { headers: ['authorization', SECRET] })).toBe('secret')
  })

  test('may be a user and a password', () => {
    const callers: Callers = { secret: { in: 'basic', hashes: [hashed('adx:pass:word é')] } }
    const basic = (text: string) => ['Authorization', `Basic ${Buffer.from(text).toString('base64')}`]
    expect(refusal(callers, { headers: basic('adx:pass:word é') })).toBe(undefined)
    expect(refusal(callers, { headers: basic('adx:pass') })).toBe('secret')
    expect(refusal(callers, { headers: ['Authorization', 'Basic %%%'] })).toBe('secret')
    expect(refusal(callers, { headers: ['Authorization', 'Bearer adx:pass:word é'] })).toBe('secret')
  })
})

describe('an address', () => {
  const callers: Callers = { addresses: ['203.0.113.0/24', '198.51.100.7', '2001:db8::/32'] }
  const forwarded = (...values: string[]) => values.flatMap(value => ['X-Forwarded-For', value])
  test.each([
    ['203.0.113.77', undefined],
    ['203.0.113.77:50123', undefined],
    ['::ffff:203.0.113.77', undefined],
    ['198.51.100.7', undefined],
    ['198.51.100.8', 'address'],
    ['2001:db8:1::1', undefined],
    ['[2001:db8:1::1]:443', undefined],
    ['2001:db9::1', 'address'],
    ['203.0.113.77, 192.0.2.1', 'address'],
    ['192.0.2.1, 203.0.113.77', undefined],
    ['203.0.113.77,', 'address'],
    ['0313.0.113.77', 'address'],
    ['unknown', 'address'],
    ['', 'address'],
  ])('of %s', (value, expected) => {
    expect(refusal(callers, { headers: forwarded(value) })).toBe(expected)
  })

  test('is what the outermost of our own proxies saw, whatever the caller claims', () => {
    const claimed = forwarded('203.0.113.1', '192.0.2.1, 10.0.0.1')
    expect(refusal(callers, { headers: claimed, hops: 1 })).toBe('address')
    expect(refusal(callers, { headers: claimed, hops: 2 })).toBe('address')
    expect(refusal(callers, { headers: forwarded('192.0.2.1', '203.0.113.1, 10.0.0.1'), hops: 2 })).toBe(undefined)
    expect(refusal(callers, { headers: forwarded('203.0.113.1'), hops: 2 })).toBe('address')
    expect(refusal(callers, { headers: forwarded('203.0.113.1'), hops: 0 })).toBe('address')
    expect(refusal({ addresses: [PEER] }, { hops: 0 })).toBe(undefined)
  })

  test('is told to the log as a network', () => {
    const network = (value: string) =>
      callerNetwork({ rawHeaders: forwarded(value), peer: undefined, pathSecret: undefined }, 1)
    expect(network('203.0.113.77')).toBe('203.0.113.0/24')
    expect(network('2001:db8:77:1::7')).toBe('2001:db8:77::/48')
    expect(network('<script>')).toBe('unknown')
  })
})

describe('a certificate', () => {
  const callers: Callers = { certificateSubjects: ['CN=rtb.exchange.example,O=Exchange'] }
  const subject = (text: string) => ['X-Amzn-Mtls-Clientcert-Subject', text]
  test('is believed from the load balancer only, and only once', () => {
    const good = subject('CN=rtb.exchange.example,O=Exchange')
    expect(refusal(callers, { headers: good })).toBe(undefined)
    expect(refusal(callers, { headers: good, hops: 0 })).toBe('certificate')
    expect(refusal(callers, { headers: [...good, ...good] })).toBe('certificate')
    expect(refusal(callers, { headers: subject('CN=rtb.exchange.example') })).toBe('certificate')
    expect(refusal(callers, {})).toBe('certificate')
  })
})

test('all that a record says must hold', () => {
  const callers: Callers = { addresses: ['203.0.113.0/24'], secret: { in: 'path', hashes: [hashed(SECRET)] } }
  const headers = ['x-forwarded-for', '203.0.113.5']
  expect(refusal(callers, { headers, pathSecret: SECRET })).toBe(undefined)
  expect(refusal(callers, { pathSecret: SECRET })).toBe('address')
  expect(refusal(callers, { headers })).toBe('secret')
})
