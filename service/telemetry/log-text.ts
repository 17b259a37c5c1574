/** What may stand on a log line: texts without control characters and secrets, of bounded length. Pure. */
import { isIPv4, isIPv6 } from 'node:net'
import { LIMITS } from '../limits.ts'
import { isLineKey } from './log-fields.ts'

/** A value on a log line. */
export type LogValue = string | number | boolean | null | undefined | readonly (string | number)[]

/** What a line can carry besides its code and message. */
export interface LineDetails {
  /** Our own words and numbers, flat. */
  readonly fields?: Readonly<Record<string, LogValue>>
  /** Whatever came with a request. It is put under one key, shortened and cleaned. */
  readonly untrusted?: Readonly<Record<string, unknown>>
  readonly error?: unknown
}

/** The same, ready to be written or posted to another thread: only plain, bounded values. */
export interface PlainDetails {
  readonly fields: Readonly<Record<string, LogValue>>
  readonly untrusted?: Readonly<Record<string, string>>
}

const FIELDS_MAX = 40
const LIST_MAX = 20
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are exactly what must go.
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same, but a stack keeps its line ends.
const CONTROL_BUT_NEWLINE = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g
const CREDENTIALS = /([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{0,512}@/gi

/** A text without control characters and URL credentials, cut to a length. `keepLines` keeps `\n`. */
export function cleanText(text: string, charsMax: number, keepLines = false): string {
  const cut = text.length > charsMax ? `${text.slice(0, charsMax - 1)}…` : text
  return cut
    .replace(keepLines ? CONTROL_BUT_NEWLINE : CONTROL, ' ')
    .replace(CREDENTIALS, '$1***@')
    .toWellFormed()
}

/** The network of an address, which names no person: a /24 or a /48; `loopback`; `unknown` for what is no address. */
export function networkOf(address: string): string {
  const plain = address.startsWith('::ffff:') ? address.slice(7) : address
  if (plain === '::1' || (isIPv4(plain) && plain.startsWith('127.'))) return 'loopback'
  if (isIPv4(plain)) return `${plain.split('.').slice(0, 3).join('.')}.0/24`
  if (!isIPv6(plain)) return 'unknown'
  const [first = ''] = plain.split('::')
  const groups = first.split(':').filter(group => group !== '')
  return `${[...groups, '0', '0', '0'].slice(0, 3).join(':')}::/48`
}

/** A URL as it may be shown: user, password and query are gone. What is no URL is not shown at all. */
export function withoutCredentials(url: string): string {
  if (!URL.canParse(url)) return '(not a URL)'
  const parsed = new URL(url)
  // `user:password@host` parses too, as a URL of the scheme `user:`.
  const slashes = url.startsWith('//', parsed.protocol.length)
  if (!slashes && parsed.protocol !== 'file:') return '(not a URL)'
  const user = parsed.username !== '' || parsed.password !== '' ? '***@' : ''
  const shown = `${parsed.protocol}${slashes ? '//' : ''}${user}${parsed.host}${parsed.pathname}`
  return cleanText(shown, LIMITS.logTextCharsMax)
}

/** Makes details plain: bounded, cleaned, and without a key that belongs to the line itself. Cost: O(size). */
export function plainDetails({ fields = {}, untrusted, error }: LineDetails): PlainDetails {
  const plain: Record<string, LogValue> = {}
  for (const [key, value] of Object.entries(fields).slice(0, FIELDS_MAX)) {
    // A field of such a name could pass for another tenant's line.
    plain[isLineKey(key) ? `field_${key}` : key] = plainValue(value)
  }
  Object.assign(plain, plainError(error))
  if (untrusted === undefined) return { fields: plain }
  const entries = Object.entries(untrusted).slice(0, LIST_MAX)
  return {
    fields: plain,
    untrusted: Object.fromEntries(entries.map(([key, value]) => [cleanText(key, 64), untrustedText(value)])),
  }
}

function plainValue(value: LogValue): LogValue {
  if (typeof value === 'string') return cleanText(value, LIMITS.logTextCharsMax)
  if (typeof value !== 'object' || value === null) return value
  return value
    .slice(0, LIST_MAX)
    .map(element => (typeof element === 'string' ? cleanText(element, LIMITS.logUntrustedCharsMax) : element))
}

function untrustedText(value: unknown): string {
  if (typeof value === 'string') return cleanText(value, LIMITS.logUntrustedCharsMax)
  if (typeof value === 'object' && value !== null) return '(object)'
  return cleanText(String(value), LIMITS.logUntrustedCharsMax)
}

function plainError(error: unknown): Record<string, string> {
  if (error === undefined) return {}
  if (!(error instanceof Error)) return { error: cleanText(String(error), LIMITS.logTextCharsMax) }
  return {
    error: cleanText(`${error.name}: ${error.message}`, LIMITS.logTextCharsMax),
    stack: cleanText(error.stack ?? '', LIMITS.logStackCharsMax, true),
  }
}

/**
 * A finished line within a number of bytes. A longer one keeps its head (identity, level, time, code, message) and as
 * much of its other texts as fits, and says `cut`; the result is valid JSON without a newline.
 */
export function cutLine(line: string, bytesMax: number): string {
  if (Buffer.byteLength(line) <= bytesMax) return line
  const whole = JSON.parse(line) as Record<string, unknown>
  for (const charsMax of [256, 64, 16]) {
    const shorter = JSON.stringify({ ...shortened(whole, charsMax), cut: true })
    if (Buffer.byteLength(shorter) <= bytesMax) return shorter
  }
  const head = Object.entries(whole).filter(([key]) => isLineKey(key) && key !== 'untrusted' && key !== '_aws')
  return JSON.stringify({ ...shortened(Object.fromEntries(head), 256), cut: true })
}

function shortened(record: Readonly<Record<string, unknown>>, charsMax: number): Record<string, unknown> {
  const shorter = (value: unknown): unknown => {
    if (typeof value === 'string') return cleanText(value, charsMax, true)
    if (Array.isArray(value)) return value.slice(0, LIST_MAX).map(shorter)
    if (typeof value === 'object' && value !== null) return shortened(value as Record<string, unknown>, charsMax)
    return value
  }
  const entries = Object.entries(record).slice(0, 2 * FIELDS_MAX)
  return Object.fromEntries(entries.map(([key, value]) => [key.slice(0, 64), shorter(value)]))
}
