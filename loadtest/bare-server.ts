/**
 * What the benchmark compares with: a bare `node:http` server, or a bare Fastify route, that parses the whole same body
 * and answers the same bytes. Arguments: `http` or `fastify`, and a file with the answers, one JSON string a line.
 */
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import Fastify from 'fastify'

const [kind, answersFile] = process.argv.slice(2)
const answers: readonly string[] = readFileSync(answersFile ?? '', 'utf8')
  .split('\n')
  .filter(line => line !== '')
  .map(line => JSON.parse(line))

/** The request names which answer it gets; an empty one is a 204. */
const ANSWER_HEADER = 'x-answer'
const JSON_TYPE = 'application/json; charset=utf-8'

function bareHttp() {
  return createServer((req, res) => {
    const chunks: Buffer[] = []
    req.on('data', (chunk: Buffer) => chunks.push(chunk))
    req.on('end', () => {
      JSON.parse(chunks.length === 1 ? String(chunks[0]) : Buffer.concat(chunks).toString())
      const body = answers[Number(req.headers[ANSWER_HEADER])] ?? ''
      if (body === '') res.writeHead(204).end()
      else res.writeHead(200, { 'Content-Type': JSON_TYPE, 'Content-Length': Buffer.byteLength(body) }).end(body)
    })
  })
}

async function bareFastify() {
  const app = Fastify({ logger: false })
  app.post('/*', (request, reply) => {
    const body = answers[Number(request.headers[ANSWER_HEADER])] ?? ''
    if (body === '') reply.code(204).send()
    else reply.type(JSON_TYPE).send(body)
  })
  await app.ready()
  return app
}

function tellPort(address: unknown): void {
  process.stdout.write(`${JSON.stringify({ port: (address as { port: number }).port })}\n`)
}

if (kind === 'http') {
  const server = bareHttp().listen(0, '127.0.0.1', () => tellPort(server.address()))
} else {
  const app = await bareFastify()
  await app.listen({ port: 0, host: '127.0.0.1' })
  tellPort(app.server.address())
}
