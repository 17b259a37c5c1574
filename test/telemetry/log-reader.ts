import { expect } from 'vitest'
import { LIMITS } from '../../service/limits.ts'
import { EVENTS, type EventCode, remedyOf } from '../../service/telemetry/events.ts'
import { LINE_KEYS, LOG_FIELDS } from '../../service/telemetry/log-fields.ts'
import type { Json } from './sink-readers.ts'

const SCHEMA: Readonly<Record<string, { readonly type: string }>> = { ...LINE_KEYS, ...LOG_FIELDS }
const TYPES: Readonly<Record<string, (value: unknown) => boolean>> = {
  text: value => typeof value === 'string',
  number: value => typeof value === 'number' && Number.isFinite(value),
  truth: value => typeof value === 'boolean',
  list: Array.isArray,
  object: value => typeof value === 'object' && value !== null && !Array.isArray(value),
}
const PROBLEMS: readonly string[] = ['warn', 'error', 'fatal']

/** Names of the metrics that a line of the embedded format holds. */
function metricNames(line: Json): ReadonlySet<string> {
  const directives = (line._aws as { CloudWatchMetrics: { Metrics: { Name: string }[] }[] } | undefined)
    ?.CloudWatchMetrics
  return new Set((directives ?? []).flatMap(({ Metrics }) => Metrics.map(({ Name }) => Name)))
}

/**
 * Reads a line of stdout and holds it against the schema: one JSON object, of the right identity, within its length,
 * of a known event, with known fields of their types.
 */
export function readLine(text: string, identity: Json): Json {
  expect(Buffer.byteLength(`${text}\n`), text.slice(0, 200)).toBeLessThanOrEqual(LIMITS.logLineBytesMax)
  const line = JSON.parse(text) as Json
  expect(line, text).toMatchObject(identity)
  expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(line.level, text).toMatch(/^(debug|info|warn|error|fatal)$/)
  expect(EVENTS, text).toHaveProperty([String(line.code)])
  expect(line.msg, text).toBeTypeOf('string')
  const metrics = metricNames(line)
  for (const [key, value] of Object.entries(line)) {
    if (metrics.has(key)) continue
    expect(SCHEMA, `${key} in ${text}`).toHaveProperty([key])
    expect(TYPES[SCHEMA[key]?.type ?? '']?.(value), `${key} in ${text}`).toBe(true)
  }
  if (PROBLEMS.includes(String(line.level))) expect(line.remedy, text).toBe(remedyOf(line.code as EventCode))
  return line
}
