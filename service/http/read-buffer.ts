/**
 * One buffer of a thread into which its sockets are read. For each read Node makes a buffer of 64 KiB, and another one
 * for what came, and frees both. This is what the option `onread` of net.Socket does; a server has no such option, so
 * the sockets it made are told here, by names that are Node's own. Where these are not found, sockets are read as ever.
 */
import { Socket } from 'node:net'

/** As many bytes as Node reads at once. */
const READ_BYTES = 64 * 1_024
const shared = Buffer.allocUnsafeSlow(READ_BYTES)

/** Node's names of what `onread` sets: the buffer, and who is called with how many bytes are in it. */
const [BUFFER, CALLBACK] = ['kBuffer', 'kBufferCb'].map(name =>
  Object.getOwnPropertySymbols(new Socket()).find(({ description }) => description === name),
)

interface Inside {
  [name: symbol]: unknown
  readonly _handle?: { readonly useUserBuffer?: (buffer: Buffer) => void } | null
}

/**
 * From now on, and for good, a socket's bytes go to `take` and not into its stream. Mutates the socket.
 * @param socket not of TLS: those decrypt into buffers of their own
 * @param take gets bytes that are there during the call only: the next read, of any socket, overwrites them
 * @returns false when this Node cannot do it; then nothing has changed
 */
export function readIntoShared(socket: Socket, take: (bytes: Buffer) => void): boolean {
  const inside = socket as unknown as Inside
  const handle = inside._handle
  if (BUFFER === undefined || CALLBACK === undefined || typeof handle?.useUserBuffer !== 'function') return false
  inside[BUFFER] = shared
  inside[CALLBACK] = (bytes: number) => take(shared.subarray(0, bytes))
  handle.useUserBuffer(shared)
  return true
}

/** A copy with memory of its own: small Buffers share blocks of 64 KiB, which a single byte that is kept would hold. */
export function ownCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
