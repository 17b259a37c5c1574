import { describe, expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { headRefusal, readBidHeaders } from './bid-headers.ts'

describe('headers of a bid request', () => {
  test.each([
    ['none', [], 0],
    ['JSON', ['Content-Type', 'application/json'], 0],
    ['JSON with a charset', ['CONTENT-TYPE', 'Application/JSON ; charset=utf-8'], 0],
    ['another type', ['content-type', 'text/plain'], 415],
    ['a type that only begins like JSON', ['content-type', 'application/json5'], 415],
    ['a length at the limit', ['content-length', String(LIMITS.bodyBytesMax)], 0],
    ['a length above the limit', ['content-length', String(LIMITS.bodyBytesMax + 1)], 413],
    ['no encoding', ['content-encoding', 'identity'], 0],
    ['an encoding in capitals', ['Content-Encoding', 'GZIP'], 0],
    ['an unknown encoding', ['content-encoding', 'br'], 415],
    ['two encodings in one', ['content-encoding', 'gzip, gzip'], 415],
    ['two encodings in two', ['content-encoding', 'gzip', 'content-encoding', 'gzip'], 415],
  ])('with %s are answered rightly', (_what, rawHeaders, refusal) => {
    expect(readBidHeaders(rawHeaders).refusal).toBe(refusal)
  })

  test.each([
    ['gzip', true],
    ['deflate, gzip;q=0.5', true],
    ['gzip;q=1.0, identity; q=0', true],
    ['br', false],
    ['', false],
    ['gzip;q=0', false],
    ['gzip ; q=0.000, br', false],
  ])('that accept %j take gzip: %s', (accepted, takesGzip) => {
    expect(readBidHeaders(['Accept-Encoding', accepted]).takesGzip).toBe(takesGzip)
  })

  test('say that a body is compressed, whatever the case', () => {
    expect(readBidHeaders(['Content-Encoding', 'Gzip']).isGzip).toBe(true)
    expect(readBidHeaders(['Content-Encoding', 'identity']).isGzip).toBe(false)
  })
})

describe('headers of any request', () => {
  const many = (count: number) => Array.from({ length: count * 2 }, () => 'a')
  test.each([
    ['none', [], 0],
    ['one Host', ['Host', 'a'], 0],
    ['two Hosts', ['Host', 'a', 'HOST', 'a'], 400],
    ['as many as the limit', many(LIMITS.headersMax), 0],
    ['one more than the limit', many(LIMITS.headersMax + 1), 431],
  ])('with %s are answered rightly', (_what, rawHeaders, refusal) => {
    expect(headRefusal(rawHeaders)).toBe(refusal)
  })
})
