import { LIMITS } from '../limits.ts'

/** What the bid route asks of a request's headers. */
export interface BidHeaders {
  /** Status that refuses the request, 0 for a good one. */
  readonly refusal: 0 | 413 | 415
  /** Content-Length, −1 when it is not told. */
  readonly bodyBytes: number
  readonly isGzip: boolean
  readonly takesGzip: boolean
}

const JSON_CONTENT = /^application\/json(?:\s*;|$)/i
/** A weight of 0 means "not" (RFC 9110, section 12.4.2). */
const REFUSES_GZIP = /\bgzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)/i

/**
 * Reads the few headers that matter from the parser's flat list, which costs a third of having Node make its object of
 * all of them. A missing type means JSON (OpenRTB 2.6, section 2.2). Cost: O(headers).
 */
export function readBidHeaders(rawHeaders: readonly string[]): BidHeaders {
  let refusal: BidHeaders['refusal'] = 0
  let encodings = 0
  let bodyBytes = -1
  let isGzip = false
  let takesGzip = false
  for (let i = 0; i + 1 < rawHeaders.length && refusal === 0; i += 2) {
    const name = rawHeaders[i] as string
    const value = rawHeaders[i + 1] as string
    if (name.length === 12 && isNamed(name, 'content-type')) {
      if (!JSON_CONTENT.test(value)) refusal = 415
    } else if (name.length === 14 && isNamed(name, 'content-length')) {
      bodyBytes = Number(value)
      if (bodyBytes > LIMITS.bodyBytesMax) refusal = 413
    } else if (name.length === 15 && isNamed(name, 'accept-encoding')) {
      takesGzip ||= value.includes('gzip') && !REFUSES_GZIP.test(value)
    } else if (name.length === 16 && isNamed(name, 'content-encoding')) {
      const encoding = value.toLowerCase()
      isGzip = encoding === 'gzip'
      // Encodings upon encodings are how small bodies become huge.
      if (++encodings > 1 || (!isGzip && encoding !== 'identity')) refusal = 415
    }
  }
  return { refusal, bodyBytes, isGzip, takesGzip }
}

/**
 * The status that refuses any request by its headers, whatever its path; 0 for a good one. Too many headers could hide
 * one; with two Hosts, two servers could read two different requests (RFC 9112, section 3.2). Cost: O(headers).
 */
export function headRefusal(rawHeaders: readonly string[]): 0 | 400 | 431 {
  if (rawHeaders.length > LIMITS.headersMax * 2) return 431
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && isNamed(name, 'host')) hosts++
  }
  return hosts > 1 ? 400 : 0
}

function isNamed(name: string, lowerCase: string): boolean {
  return name === lowerCase || name.toLowerCase() === lowerCase
}
