import { LIMITS } from '../limits.ts'

/** The head of a request that can be read in one way only. */
export interface PlainHead {
  readonly method: 'GET' | 'POST'
  readonly url: string
  /** Names and values in turn, as they came. */
  readonly rawHeaders: readonly string[]
  /** With the empty line at its end. */
  readonly headBytes: number
  readonly bodyBytes: number
}

const END = Buffer.from('\r\n\r\n')
const LINE_END = '\r\n'
const VERSION = ' HTTP/1.1'
/** A request line and header lines of RFC 9112, sections 3 and 5, less what servers were seen to read in two ways. */
const PLAIN = /^(?:GET|POST) \/[!-~]* HTTP\/1\.1(?:\r\n[A-Za-z0-9-]+:[\t -~]*)+$/
const LENGTH = /^\d{1,9}$/

/**
 * Reads a request's head if it is plain and whole: HTTP/1.1, GET or POST, one Host, no body or one whose length is told
 * once, a connection that is to be kept, printable ASCII, and nothing that a server may read in two ways. Whatever else
 * comes is Node's parser's to read or to refuse, so this decides of no request that it is bad.
 * @param bytes what came first on a connection, or right after the request before
 * @returns undefined for a head that is not plain. Cost: O(bytes of the head), some 1.5 µs
 */
export function readPlainHead(bytes: Buffer): PlainHead | undefined {
  const end = bytes.indexOf(END)
  if (end < 0 || end > LIMITS.headerBytesMax) return undefined
  const head = bytes.toString('latin1', 0, end)
  if (!PLAIN.test(head)) return undefined
  const lineEnd = head.indexOf(LINE_END)
  const method = head.startsWith('GET') ? 'GET' : 'POST'
  const rawHeaders: string[] = []
  let bodyBytes = -1
  let hosts = 0
  for (let at = lineEnd + LINE_END.length; at < head.length; ) {
    const colon = head.indexOf(':', at)
    const next = head.indexOf(LINE_END, colon)
    const stop = next < 0 ? head.length : next
    const name = head.slice(at, colon)
    const value = head.slice(colon + 1, stop).trim()
    rawHeaders.push(name, value)
    switch (name.toLowerCase()) {
      case 'host':
        hosts++
        break
      case 'content-length':
        if (bodyBytes >= 0 || !LENGTH.test(value)) return undefined
        bodyBytes = Number(value)
        break
      case 'connection':
      // Which Node reads as the same.
      case 'proxy-connection':
        if (value.toLowerCase() !== 'keep-alive') return undefined
        break
      case 'transfer-encoding':
      case 'expect':
      case 'upgrade':
        return undefined
    }
    at = stop + LINE_END.length
  }
  if (hosts !== 1 || rawHeaders.length > 2 * LIMITS.headersMax || bodyBytes > LIMITS.bodyBytesMax) return undefined
  const url = head.slice(method.length + 1, lineEnd - VERSION.length)
  return { method, url, rawHeaders, headBytes: end + END.length, bodyBytes: Math.max(0, bodyBytes) }
}
