/** Writes an MP4 file of one H.264 track. ISO/IEC 14496-12 (boxes) and 14496-15 (avc1, avcC). Pure. */
import type { Film } from './film.ts'

/** Ticks per second of all times in the file. */
const TIMESCALE = 1_000
const IDENTITY = [0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000]

/** @returns the whole file. Cost: O(bytes). */
export function mp4Of(film: Film): Uint8Array<ArrayBuffer> {
  const type = box('ftyp', text('isom'), u32(0x200), text('isomiso2avc1mp41'))
  // The table of chunks needs to know where the samples begin, which its own size does not depend on.
  const head = (dataAt: number) => concat([type, box('moov', movieHeader(film), track(film, dataAt))])
  const dataAt = head(0).length + 8
  return concat([head(dataAt), box('mdat', ...film.frames.map(frame => frame.bytes))])
}

function ticksOf(film: Film): number {
  return Math.round((film.frames.length / film.framesPerS) * TIMESCALE)
}

function movieHeader(film: Film): Uint8Array {
  const none = [0, 0, 0, 0, 0, 0]
  return fullBox(
    'mvhd',
    0,
    u32(0, 0, TIMESCALE, ticksOf(film), 0x10000),
    u16(0x100, 0),
    u32(0, 0, ...IDENTITY),
    u32(...none, 2),
  )
}

function track(film: Film, dataAt: number): Uint8Array {
  const size = u32(film.width * 0x10000, film.height * 0x10000)
  // Flags 7: enabled, in the movie, in its preview.
  const header = fullBox('tkhd', 7, u32(0, 0, 1, 0, ticksOf(film), 0, 0), u16(0, 0, 0, 0), u32(...IDENTITY), size)
  const mediaHeader = fullBox('mdhd', 0, u32(0, 0, TIMESCALE, ticksOf(film)), u16(0x55c4, 0))
  const handler = fullBox('hdlr', 0, u32(0), text('vide'), u32(0, 0, 0), text('film\0'))
  const reference = box('dinf', fullBox('dref', 0, u32(1), fullBox('url ', 1)))
  const information = box('minf', fullBox('vmhd', 1, u16(0, 0, 0, 0)), reference, sampleTable(film, dataAt))
  return box('trak', header, box('mdia', mediaHeader, handler, information))
}

function sampleTable(film: Film, dataAt: number): Uint8Array {
  const { frames } = film
  const configuration = box('avcC', film.configuration)
  const names = new Uint8Array(32)
  const entry = box(
    'avc1',
    ...[u16(0, 0, 0, 1), u16(0, 0), u32(0, 0, 0), u16(film.width, film.height), u32(0x480000, 0x480000, 0), u16(1)],
    ...[names, u16(24, 0xffff), configuration],
  )
  const keys = frames.flatMap((frame, index) => (frame.isKey ? [index + 1] : []))
  return box(
    'stbl',
    fullBox('stsd', 0, u32(1), entry),
    fullBox('stts', 0, u32(1, frames.length, TIMESCALE / film.framesPerS)),
    fullBox('stss', 0, u32(keys.length, ...keys)),
    fullBox('stsc', 0, u32(1, 1, frames.length, 1)),
    fullBox('stsz', 0, u32(0, frames.length, ...frames.map(frame => frame.bytes.length))),
    fullBox('stco', 0, u32(1, dataAt)),
  )
}

function box(type: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 8)
  return concat([u32(length), text(type), ...parts])
}

/** A box with a version, always 0, and flags. */
function fullBox(type: string, flags: number, ...parts: readonly Uint8Array[]): Uint8Array {
  return box(type, u32(flags), ...parts)
}

function text(ascii: string): Uint8Array {
  return new TextEncoder().encode(ascii)
}

function u32(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 4))
  for (const [index, value] of values.entries()) view.setUint32(index * 4, value)
  return new Uint8Array(view.buffer)
}

function u16(...values: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(values.length * 2))
  for (const [index, value] of values.entries()) view.setUint16(index * 2, value)
  return new Uint8Array(view.buffer)
}

function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
