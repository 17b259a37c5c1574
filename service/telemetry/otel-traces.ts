/** Traced requests as OpenTelemetry spans: one of the request, and one of each stage in it. */
import { randomBytes } from 'node:crypto'
import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  SpanKind,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { NodeSDKConfiguration } from '@opentelemetry/sdk-node'
import { hrTimeOf } from './otel-metrics.ts'
import type { TraceMessage } from './request-tracer.ts'
import { HISTOGRAMS } from './signals.ts'
import type { TraceParent } from './trace-parent.ts'

/** The bid threads have sampled already: the SDK takes all that it is given, whatever OTEL_TRACES_SAMPLER says. */
export const TAKE_ALL: NodeSDKConfiguration['sampler'] = {
  // RECORD_AND_SAMPLED
  shouldSample: () => ({ decision: 2 }),
  toString: () => 'sampled by the bid threads',
}

/** Random ids, and the trace of X-Ray's header where that names no span: the API knows no other way to join it. */
export class TraceIds {
  /** Trace of the next span without a parent; undefined for a new one. */
  next: string | undefined

  generateTraceId(): string {
    return this.next ?? randomBytes(16).toString('hex')
  }

  generateSpanId(): string {
    return randomBytes(8).toString('hex')
  }
}

const STAGES = Object.values(HISTOGRAMS).map(({ name }) => name.replace(/_time$/, ''))

/** Makes the spans of one request. @param ids those of the tracer's provider */
export function writeTrace(tracer: Tracer, ids: TraceIds, thread: number, message: TraceMessage): void {
  const { startedAtMs, endedAtMs, stages, parent } = message
  ids.next = parent?.traceId
  const options = { kind: SpanKind.SERVER, startTime: hrTimeOf(startedAtMs), attributes: attributesOf(message, thread) }
  const span = tracer.startSpan(message.route, options, contextOf(parent))
  ids.next = undefined
  const inside = trace.setSpan(ROOT_CONTEXT, span)
  for (const stage of stages) {
    const startTime = hrTimeOf(stage.startedAtMs)
    tracer.startSpan(STAGES[stage.histogram] ?? 'stage', { startTime }, inside).end(hrTimeOf(stage.endedAtMs))
  }
  span.end(hrTimeOf(endedAtMs))
}

function contextOf(parent: TraceParent | undefined): Context {
  if (parent?.spanId === undefined) return ROOT_CONTEXT
  const { traceId, spanId } = parent
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true })
}

/** Nothing of a request but its exchange, which the state knows, stands in a trace. */
function attributesOf({ route, exchange, status, counted }: TraceMessage, thread: number): Attributes {
  const [method = '', path = ''] = route.split(' ')
  const counts = Object.entries(counted).map(([name, count]) => [`bidcell.${name}`, count] as const)
  return {
    'http.request.method': method,
    'http.route': path,
    'http.response.status_code': status,
    'bidcell.exchange': exchange,
    'bidcell.thread': `bid-${thread}`,
    ...Object.fromEntries(counts),
  }
}
