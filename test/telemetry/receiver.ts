import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'
import type { Json } from './sink-readers.ts'

/** An endpoint on loopback that takes every report. */
export interface Receiver {
  readonly url: string
  /** What came, in its order. */
  readonly received: readonly { readonly path: string; readonly body: Json }[]
  /** Answers of GET requests by path, given before they are asked. */
  readonly answers: Map<string, Json>
  close(): void
}

/** Starts one; bodies must be JSON, compressed or not. */
export async function startReceiver(): Promise<Receiver> {
  const received: { path: string; body: Json }[] = []
  const answers = new Map<string, Json>()
  const server = createServer(async (request, response) => {
    const path = request.url ?? ''
    if (request.method === 'GET') {
      const answer = answers.get(path)
      response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}))
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const text = request.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes
    received.push({ path, body: JSON.parse(String(text)) as Json })
    response.setHeader('content-type', 'application/json').end('{}')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received, answers, close }
}
