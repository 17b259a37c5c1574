/** The trace that a request says it belongs to: W3C's header, else X-Ray's, which every AWS load balancer adds. */

/** Whose child a trace is. */
export interface TraceParent {
  /** 32 hexadecimal digits, not all 0. */
  readonly traceId: string
  /** 16 hexadecimal digits; undefined where only the trace is known. */
  readonly spanId: string | undefined
}

/** Version 00 ends after the flags; later ones may go on (W3C Trace Context, sections 2.2 and 4). */
const W3C = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:$|-)/
const XRAY_ROOT = /(?:^|;)\s*Root=1-([0-9a-f]{8})-([0-9a-f]{24})\s*(?:;|$)/i
const XRAY_PARENT = /(?:^|;)\s*Parent=([0-9a-f]{16})\s*(?:;|$)/i
/** No good header is longer; longer ones are not read. */
const CHARS_MAX = 1_024

/**
 * Reads it from the parser's flat list of headers. What they say of sampling is not read: whoever sends a request must
 * not decide what it costs. Cost: O(headers); only for requests that are traced.
 */
export function traceParentOf(rawHeaders: readonly string[]): TraceParent | undefined {
  return w3cParent(valuesOf(rawHeaders, 'traceparent')) ?? xrayParent(valuesOf(rawHeaders, 'x-amzn-trace-id'))
}

function valuesOf(rawHeaders: readonly string[], lowerCase: string): readonly string[] {
  return rawHeaders.filter(
    (value, index) =>
      index % 2 === 1 && value.length <= CHARS_MAX && rawHeaders[index - 1]?.toLowerCase() === lowerCase,
  )
}

/** More than one is as good as none. */
function w3cParent([value, ...more]: readonly string[]): TraceParent | undefined {
  const parts = more.length > 0 ? undefined : W3C.exec(value?.trim() ?? '')
  if (!parts || (parts[1] === '00' && value?.trim().length !== 55)) return undefined
  return { traceId: parts[2] as string, spanId: parts[3] }
}

function xrayParent([value = '']: readonly string[]): TraceParent | undefined {
  const [, epoch, rest] = XRAY_ROOT.exec(value) ?? []
  if (epoch === undefined || rest === undefined) return undefined
  return { traceId: (epoch + rest).toLowerCase(), spanId: XRAY_PARENT.exec(value)?.[1]?.toLowerCase() }
}
