/**
 * Preloaded into a service (`--import`), its bid threads included: says on stderr to whom it connects, whose name it
 * looks up and where it sends a datagram. What it says does not depend on whether anybody answers.
 */
import { Socket as DatagramSocket } from 'node:dgram'
import dns from 'node:dns'
import { writeSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { Socket } from 'node:net'

/** Puts a watcher before a method of Node; what the method does and gives stays. */
function watch(owner: object, name: string, what: string): void {
  const plain = Reflect.get(owner, name)
  Reflect.set(owner, name, function (this: unknown, ...given: unknown[]) {
    writeSync(2, `outbound ${what} ${JSON.stringify(given.flat(2).map(plainPart))}\n`)
    return Reflect.apply(plain, this, given)
  })
}

function plainPart(part: unknown): unknown {
  if (typeof part === 'string' || typeof part === 'number') return part
  if (typeof part !== 'object' || part === null) return undefined
  const { host, port, path } = part as Readonly<Record<string, unknown>>
  return { host, port, path }
}

watch(Socket.prototype, 'connect', 'connect')
watch(DatagramSocket.prototype, 'send', 'datagram')
for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) watch(dns, name, 'name')
syncBuiltinESMExports()
