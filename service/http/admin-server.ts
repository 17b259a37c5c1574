/** The admin port: what the task says about itself, and the brake. Served by the control thread, never routed to. */
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import type { Stop, ToldStops } from '../stop-list.ts'
import { networkOf } from '../telemetry/log-text.ts'
import { PROMETHEUS_CONTENT_TYPE } from '../telemetry/prometheus.ts'
import type { AdminGate } from './admin-gate.ts'
import { addInsightRoutes, type InsightDeps } from './insight-routes.ts'

/** One request to the admin port, let in or not. */
export interface AdminAccess {
  /** Method and route; what is no route is not repeated. */
  readonly resource: string
  /** Name of the token with which it came; else the network that it came from, see networkOf. */
  readonly actor: string
  readonly isAllowed: boolean
}

/** What the admin port shows and does; asked anew for every request. */
export interface AdminServerDeps {
  readonly gate: AdminGate
  /** Told of every request, once it is answered. */
  readonly onAccess: (access: AdminAccess) => void
  /** Who tells why. */
  readonly insight: InsightDeps
  /** All metrics in Prometheus' text format. */
  readonly metrics: () => string
  /** What state is served and how fresh it is. */
  readonly state: () => Readonly<Record<string, unknown>>
  /** What is stopped by hand. */
  readonly stops: () => ToldStops
  /** Stops one thing, or lets it go. @returns all that is stopped then */
  readonly stop: (stop: Stop, isStopped: boolean, actor: string) => ToldStops
}

const ID = { type: 'string', minLength: 1, maxLength: 64 }
/** Exactly one thing. */
const STOP = {
  type: 'object',
  properties: { tenant: { const: true }, exchange: ID, campaign: ID, lineItem: ID },
  additionalProperties: false,
  minProperties: 1,
  maxProperties: 1,
}
const STOP_REMEDY =
  'the body must be JSON naming one thing: {"tenant":true}, {"exchange":"ID"}, {"campaign":"ID"} or {"lineItem":"ID"}'

/** @returns a Fastify instance that does not listen yet. */
export function createAdminServer(deps: AdminServerDeps): FastifyInstance {
  const { gate, insight, onAccess, metrics, state, stops, stop } = deps
  // What is not known must be refused, not left out: a misspelt brake must not seem to hold.
  const app = Fastify({ logger: false, genReqId: () => '', ajv: { customOptions: { removeAdditional: false } } })
  app.addHook('onRequest', async ({ headers }, reply) => {
    const pass = gate.pass(headers)
    if (pass.isAllowed) return undefined
    if (pass.status === 401) void reply.header('WWW-Authenticate', 'Basic realm="Bidcell admin"')
    return reply.code(pass.status).send({ error: pass.remedy })
  })
  const actorOf = ({ headers, socket }: FastifyRequest): string => {
    const pass = gate.pass(headers)
    return (pass.isAllowed ? pass.actor : undefined) ?? networkOf(socket.remoteAddress ?? '')
  }
  app.addHook('onResponse', async (request, { statusCode }) => {
    const resource = `${request.method} ${request.routeOptions.url ?? '(no route)'}`
    onAccess({ resource, actor: actorOf(request), isAllowed: statusCode < 400 })
  })
  app.get('/metrics', (_request, reply) => reply.type(PROMETHEUS_CONTENT_TYPE).send(metrics()))
  app.get('/state', (_request, reply) => reply.send(state()))
  app.get('/stops', (_request, reply) => reply.send(stops()))
  const schema = { body: STOP }
  app.post<{ Body: Stop }>('/stops', { schema }, (request, reply) =>
    reply.send(stop(request.body, true, actorOf(request))),
  )
  app.delete<{ Body: Stop }>('/stops', { schema }, (request, reply) =>
    reply.send(stop(request.body, false, actorOf(request))),
  )
  addInsightRoutes(app, insight)
  app.setErrorHandler((_error, request, reply) =>
    reply.code(400).send({ error: request.url === '/stops' ? STOP_REMEDY : 'bad request' }),
  )
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({
      error:
        'not found; there are /console, /metrics, /state, /stops, /line-items, /pacing, /deals, /recent, /events, ' +
        '/explain and /dry-run',
    }),
  )
  return app
}
