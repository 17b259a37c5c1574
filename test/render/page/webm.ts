/** Writes a WebM file of one VP8 track. RFC 8794 (EBML) and RFC 9559 (Matroska). Pure. */
import type { Film } from './film.ts'

/** Frames per cluster: a block's time is 16 bits of milliseconds after its cluster's. */
const CLUSTER_FRAMES = 50

/** @returns the whole file. Cost: O(bytes). */
export function webmOf(film: Film): Uint8Array<ArrayBuffer> {
  const frameMs = 1_000 / film.framesPerS
  const doc = [
    uint(0x4286, 1),
    uint(0x42f7, 1),
    uint(0x42f2, 4),
    uint(0x42f3, 8),
    ascii(0x4282, 'webm'),
    uint(0x4287, 4),
  ]
  const info = element(0x1549a966, [
    uint(0x2ad7b1, 1_000_000),
    float(0x4489, film.frames.length * frameMs),
    ascii(0x4d80, 'studio'),
    ascii(0x5741, 'studio'),
  ])
  const size = element(0xe0, [uint(0xb0, film.width), uint(0xba, film.height)])
  const entry = element(0xae, [uint(0xd7, 1), uint(0x73c5, 1), uint(0x83, 1), ascii(0x86, 'V_VP8'), size])
  const clusters: Uint8Array[] = []
  for (let at = 0; at < film.frames.length; at += CLUSTER_FRAMES)
    clusters.push(
      element(0x1f43b675, [
        uint(0xe7, Math.round(at * frameMs)),
        ...film.frames.slice(at, at + CLUSTER_FRAMES).map((frame, index) => block(frame, Math.round(index * frameMs))),
      ]),
    )
  const segment = element(0x18538067, [info, element(0x1654ae6b, [entry]), ...clusters])
  return joined([element(0x1a45dfa3, [...doc, uint(0x4285, 2)]), segment])
}

function block(frame: Film['frames'][number], atMs: number): Uint8Array {
  const head = new Uint8Array([0x81, atMs >> 8, atMs & 0xff, frame.isKey ? 0x80 : 0])
  return element(0xa3, [head, frame.bytes])
}

function element(id: number, parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  // A length in eight bytes always does.
  const size = new Uint8Array([1, 0, 0, 0, ...bytesOf(length, 4)])
  return joined([new Uint8Array(bytesOf(id)), size, ...parts])
}

function uint(id: number, value: number): Uint8Array {
  return element(id, [new Uint8Array(bytesOf(value))])
}

function ascii(id: number, value: string): Uint8Array {
  return element(id, [new TextEncoder().encode(value)])
}

function float(id: number, value: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  return element(id, [new Uint8Array(view.buffer)])
}

/** Big-endian, as short as can be. */
function bytesOf(value: number, least = 1): readonly number[] {
  const bytes: number[] = []
  for (let rest = value; rest > 0 || bytes.length < least; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256)
  return bytes
}

function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
