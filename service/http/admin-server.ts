/** The admin port: what the task says about itself. Served by the control thread, never routed by the load balancer. */
import Fastify, { type FastifyInstance } from 'fastify'
import { PROMETHEUS_CONTENT_TYPE } from '../telemetry/prometheus.ts'

/** What the admin port shows; asked anew for every request. */
export interface AdminServerDeps {
  /** All metrics in Prometheus' text format. */
  readonly metrics: () => string
  /** What state is served and how fresh it is. */
  readonly state: () => Readonly<Record<string, unknown>>
}

/** @returns a Fastify instance that does not listen yet. */
export function createAdminServer({ metrics, state }: AdminServerDeps): FastifyInstance {
  const app = Fastify({ logger: false, genReqId: () => '' })
  app.get('/metrics', (_request, reply) => reply.type(PROMETHEUS_CONTENT_TYPE).send(metrics()))
  app.get('/state', (_request, reply) => reply.send(state()))
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).send({ error: 'not found; there are /metrics and /state' }),
  )
  return app
}
