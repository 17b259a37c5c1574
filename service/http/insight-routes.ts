/** The admin port's questions about bids: why, and why not. */
import type { FastifyInstance } from 'fastify'
import { LIMITS } from '../limits.ts'

/** What somebody wants to have explained. */
export interface ExplainCall {
  /** A bid request, parsed. */
  readonly request: unknown
  readonly exchange?: string
  readonly lineItem?: string
  /** ISO 8601 instant; now without it. */
  readonly at?: string
}

/** An answer: plain data for JSON. */
export interface InsightReply {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
}

/** Who answers; must not reject. */
export interface InsightDeps {
  readonly explain: (call: ExplainCall) => Promise<InsightReply>
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
export function addInsightRoutes(app: FastifyInstance, { explain }: InsightDeps): void {
  app.post<{ Body: ExplainCall }>(
    '/explain',
    {
      schema: { body: EXPLAIN },
      bodyLimit: LIMITS.inflatedBytesMax,
      errorHandler: (_error, _request, reply) => void reply.code(400).send({ error: EXPLAIN_REMEDY }),
    },
    async (request, reply) => {
      const { status, body } = await explain(request.body)
      return await reply.code(status).send(body)
    },
  )
}
