/** The admin port's questions about bids: why, and why not. */
import type { ServerResponse } from 'node:http'
import type { FastifyInstance, RouteShorthandOptions } from 'fastify'
import { NO_BID_REASON_NAMES } from '../decision/reasons.ts'
import { LIMITS } from '../limits.ts'
import { CONSOLE_POLICY, type ConsoleFiles } from './console-files.ts'
import type { LineItemQuery } from './line-item-rows.ts'
import { LIVE_STREAMS_MAX } from './live-streams.ts'

/** What somebody wants to have explained. */
export interface ExplainCall {
  /** A bid request, parsed. */
  readonly request: unknown
  readonly exchange?: string
  readonly lineItem?: string
  /** ISO 8601 instant; now without it. */
  readonly at?: string
}

/** Which sampled requests: those in which a line item was wanted or bid, that offer a deal, that a reason stopped. */
export interface RecentCall {
  readonly lineItem?: string
  readonly deal?: string
  readonly reason?: string
  readonly limit: number
}

/** Which line items with plans: part of an id of them, or of what has the plan. */
export interface PacingCall {
  readonly search?: string
  readonly limit: number
}

/** An answer: plain data for JSON. */
export interface InsightReply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Who answers; must not reject. */
export interface InsightDeps {
  readonly consoleFiles: ConsoleFiles
  readonly explain: (call: ExplainCall) => Promise<InsightReply>
  /** What it would be answered, as if a line item that is named were alone. Spends nothing. */
  readonly dryRun: (call: ExplainCall) => InsightReply
  /** Line items that are served, with what they did in this task. */
  readonly lineItems: (query: LineItemQuery) => InsightReply['body']
  /** Sampled requests, newest first, with their decisions; without what tells of a person. */
  readonly recent: (query: RecentCall) => InsightReply['body']
  /** Deals that sampled requests offered, and why they were not bid in. */
  readonly deals: () => InsightReply['body']
  /** Line items that follow plans, and how far these have come. */
  readonly pacing: (query: PacingCall) => InsightReply['body']
  /** The last log lines, notices and versions. */
  readonly events: () => InsightReply['body']
  /** Tells once a second what happens. @returns false when there are enough who look already */
  readonly openLive: (res: ServerResponse) => boolean
}

const ID = { type: 'string', minLength: 1, maxLength: 64 }
const EXPLAIN = {
  type: 'object',
  properties: {
    request: { type: 'object' },
    exchange: ID,
    lineItem: ID,
    at: { type: 'string', pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d', maxLength: 35 },
  },
  required: ['request'],
  additionalProperties: false,
}
const EXPLAIN_REMEDY =
  'the body must be JSON like {"request":{…a bid request…},"exchange":"ID","lineItem":"ID",' +
  '"at":"2026-11-21T12:00:00Z"}; only request is needed'

/** Adds the routes. Mutates the app. */
export function addInsightRoutes(app: FastifyInstance, deps: InsightDeps): void {
  addConsole(app, deps)
  addExplain(app, deps)
  const querystring = {
    type: 'object',
    properties: {
      search: { type: 'string', maxLength: 64, default: '' },
      sort: { enum: ['rank', 'bids', 'wins', 'billed', 'spendNanos'], default: 'rank' },
      limit: { type: 'integer', minimum: 1, maximum: LIMITS.lineItemRowsMax, default: 50 },
    },
    additionalProperties: false,
  }
  const recent = {
    type: 'object',
    properties: {
      ...{ lineItem: ID, deal: { ...ID, maxLength: 128 }, reason: { enum: NO_BID_REASON_NAMES } },
      limit: { type: 'integer', minimum: 1, maximum: LIMITS.samplesKept, default: 20 },
    },
    additionalProperties: false,
  }
  app.get<{ Querystring: RecentCall }>('/recent', { schema: { querystring: recent } }, (request, reply) =>
    reply.send(deps.recent(request.query)),
  )
  const pacing = {
    type: 'object',
    properties: {
      search: { type: 'string', maxLength: 64, default: '' },
      limit: { type: 'integer', minimum: 1, maximum: LIMITS.pacingRowsMax, default: 12 },
    },
    additionalProperties: false,
  }
  app.get<{ Querystring: PacingCall }>('/pacing', { schema: { querystring: pacing } }, (request, reply) =>
    reply.send(deps.pacing(request.query)),
  )
  app.get('/events', (_request, reply) => reply.send(deps.events()))
  app.get('/deals', (_request, reply) => reply.send(deps.deals()))
  app.get<{ Querystring: LineItemQuery }>('/line-items', { schema: { querystring } }, (request, reply) =>
    reply.send(deps.lineItems(request.query)),
  )
}

function addConsole(app: FastifyInstance, deps: InsightDeps): void {
  for (const [path, { type, body }] of deps.consoleFiles)
    app.get(path, (_request, reply) =>
      reply
        .headers({ 'Content-Security-Policy': CONSOLE_POLICY, 'X-Content-Type-Options': 'nosniff' })
        .headers({ 'Cache-Control': 'no-store', 'Referrer-Policy': 'no-referrer' })
        .type(type)
        .send(body),
    )
  app.get('/console/live', async (_request, reply) => {
    if (deps.openLive(reply.raw)) reply.hijack()
    else await reply.code(503).send({ error: `${LIVE_STREAMS_MAX} consoles look at this task; close one` })
  })
}

function addExplain(app: FastifyInstance, deps: InsightDeps): void {
  const options: RouteShorthandOptions = {
    schema: { body: EXPLAIN },
    bodyLimit: LIMITS.inflatedBytesMax,
    errorHandler: (_error, _request, reply) => void reply.code(400).send({ error: EXPLAIN_REMEDY }),
  }
  app.post<{ Body: ExplainCall }>('/explain', options, async (request, reply) => {
    const { status, body } = await deps.explain(request.body)
    return await reply.code(status).send(body)
  })
  app.post<{ Body: ExplainCall }>('/dry-run', options, async (request, reply) => {
    const { status, body } = deps.dryRun(request.body)
    return await reply.code(status).send(body)
  })
}
