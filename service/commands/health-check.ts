import { get } from 'node:http'
import { get as getByTls } from 'node:https'

/*
 * What a container engine runs inside the container: `node service/commands/health-check.ts URL`. Exits 0 when the URL
 * answers 200, 1 when it does not within the limit, 2 without a URL. It costs a Node process each time, so it loads
 * nothing: node:http is half the start time of fetch.
 */

/** Below the engine's own time-out of 5 s, so that the reason is still printed. */
const ANSWER_LIMIT_MS = 4_000

const url = process.argv[2]
if (url === undefined || !URL.canParse(url)) {
  console.error('usage: node service/commands/health-check.ts http://127.0.0.1:8080/health/live')
  process.exit(2)
}

// Whose certificate it is does not matter: it is asked from inside of its own container.
const options = { timeout: ANSWER_LIMIT_MS, rejectUnauthorized: false }
const request = (url.startsWith('https:') ? getByTls : get)(url, options, response => {
  response.resume()
  finish(response.statusCode === 200, `answered ${response.statusCode}`)
})
request.on('timeout', () => finish(false, `did not answer within ${ANSWER_LIMIT_MS} ms`))
request.on('error', error => finish(false, `cannot be reached: ${error.message}`))

function finish(healthy: boolean, what: string): void {
  if (!healthy) console.error(`${url} ${what}`)
  process.exit(healthy ? 0 : 1)
}
