/** Scripts that run inside a task's container. There is no shell in it, but Node. */

/** Bytes per tick, ticks and how many of them: 60 MiB a second, until there would be a GiB. */
const LEAK = { bytes: 3 * 1024 * 1024, everyMs: 50, ticks: 340 }

/**
 * Makes the service itself leak, as a fault of its own would: by Node's inspector, which listens inside of the
 * container for whoever has that user's rights there. Ends once the leak has begun.
 */
export const LEAK_SCRIPT = `
import fs from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
const isService = pid => {
  try {
    return fs.readFileSync('/proc/' + pid + '/cmdline', 'utf8').startsWith('node\\0service/main.ts')
  } catch {
    return false
  }
}
const pid = fs.readdirSync('/proc').find(name => /^\\d+$/.test(name) && isService(name))
process._debugProcess(Number(pid))
let target
for (let tries = 0; target === undefined && tries < 50; tries++) {
  await sleep(50)
  const list = await fetch('http://127.0.0.1:9229/json/list').then(answer => answer.json(), () => [])
  target = list[0]
}
const socket = new WebSocket(target.webSocketDebuggerUrl)
await new Promise(done => { socket.onopen = done })
const expression = 'globalThis.leaked = []; const leak = setInterval(() => {' +
  'leaked.push(Buffer.alloc(${LEAK.bytes}, 1)); ' +
  'if (leaked.length > ${LEAK.ticks}) clearInterval(leak) }, ${LEAK.everyMs})'
socket.send(JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression } }))
await new Promise(done => { socket.onmessage = done })
process.exit(0)
`

/** Burns half of a processor for so long, and takes no memory. */
export function burnScript(seconds: number): string {
  return `
const endMs = performance.now() + ${seconds * 1e3}
const burn = () => {
  for (const untilMs = performance.now() + 5; performance.now() < untilMs; );
  if (performance.now() < endMs) setTimeout(burn, 5)
}
burn()
`
}
