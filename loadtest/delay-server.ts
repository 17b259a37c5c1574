/**
 * A server of known delay, run as a worker thread: by it the driver's own error is measured. Each answer carries the
 * microseconds that really passed between request and answer, because timers are late on a busy machine.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'

/** What the thread is given; it posts its URL when it listens. */
export interface DelayServerStart {
  readonly delayMs: number
}

const { delayMs } = workerData as DelayServerStart
const server = createServer((_request, response) => {
  const startMs = performance.now()
  setTimeout(() => response.end(String(Math.round((performance.now() - startMs) * 1e3))), delayMs)
})
server.listen(0, '127.0.0.1', () =>
  parentPort?.postMessage(`http://127.0.0.1:${(server.address() as AddressInfo).port}`),
)
