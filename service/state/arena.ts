/**
 * Flat columns in shared memory. A catalog lives in one slab; a slab holds one catalog after another, so memory never
 * waits for a garbage collector that cannot see it.
 */
import { assert } from '../foundation/assert.ts'

const ELEMENTS = {
  u8: Uint8Array<SharedArrayBuffer>,
  u16: Uint16Array<SharedArrayBuffer>,
  u32: Uint32Array<SharedArrayBuffer>,
  i32: Int32Array<SharedArrayBuffer>,
  f64: Float64Array<SharedArrayBuffer>,
} as const

/** Kind of number in a column: its sign, float or not, and bits. */
export type ElementKind = keyof typeof ELEMENTS
/** A column as a typed view of shared memory. */
export type Column<K extends ElementKind> = InstanceType<(typeof ELEMENTS)[K]>

/** Where a column is. Plain data, so that it can be posted to another thread. */
export interface ColumnSpan {
  readonly kind: ElementKind
  readonly byteOffset: number
  readonly length: number
}

/** Names and kinds of a table's columns. */
export type ColumnKinds = { readonly [name: string]: ElementKind }
/** Views of all columns of a table. */
export type Columns<T extends ColumnKinds> = { readonly [K in keyof T]: Column<T[K]> }
/** Where all columns of a table are. */
export type Layout<T extends ColumnKinds> = { readonly [K in keyof T]: ColumnSpan }

/** Columns begin at multiples of a cache line, so that two of them never share one. */
const ALIGNMENT_BYTES = 64

/** Copies nothing. @throws RangeError when the span lies outside of the slab */
function viewColumn<K extends ElementKind>(slab: SharedArrayBuffer, span: ColumnSpan): Column<K> {
  return new ELEMENTS[span.kind](slab, span.byteOffset, span.length) as Column<K>
}

/** Typed views of all columns of a layout. Copies nothing. */
export function viewColumns<T extends ColumnKinds>(slab: SharedArrayBuffer, layout: Layout<T>): Columns<T> {
  const views: Record<string, unknown> = {}
  for (const name in layout) views[name] = viewColumn(slab, layout[name])
  return views as Columns<T>
}

/** Hands out columns from the front of a slab. Mutates the slab: columns of an earlier catalog are overwritten. */
export class ArenaWriter {
  readonly slab: SharedArrayBuffer
  #bytesUsed = 0

  constructor(slab: SharedArrayBuffer) {
    this.slab = slab
  }

  get bytesUsed(): number {
    return this.#bytesUsed
  }

  /**
   * A zeroed column. Cost: O(length), because an earlier catalog's bytes are cleared.
   * @throws ArenaFull when the slab is too small
   */
  column<K extends ElementKind>(kind: K, length: number): { readonly span: ColumnSpan; readonly view: Column<K> } {
    const byteOffset = Math.ceil(this.#bytesUsed / ALIGNMENT_BYTES) * ALIGNMENT_BYTES
    const end = byteOffset + length * ELEMENTS[kind].BYTES_PER_ELEMENT
    if (end > this.slab.byteLength) throw new ArenaFull(end, this.slab.byteLength)
    this.#bytesUsed = end
    const span: ColumnSpan = { kind, byteOffset, length }
    const view = viewColumn<K>(this.slab, span)
    view.fill(0)
    return { span, view }
  }
}

/** A catalog that is larger than the slab it should go into: an operating error, the version is refused. */
class ArenaFull extends Error {
  override readonly name = 'ArenaFull'
  constructor(neededBytes: number, slabBytes: number) {
    super(
      `the catalog needs more than ${neededBytes} bytes, the arena's slot has ${slabBytes}; give the task more memory`,
    )
  }
}

const SLOTS = [0, 1] as const

/**
 * Two slabs: one is read by the bid threads, the other takes the next catalog. A slab is free again when every bid
 * thread has acknowledged a later catalog. Untouched pages of a slab cost no memory.
 */
export class ArenaPool {
  readonly slabs: readonly [SharedArrayBuffer, SharedArrayBuffer]
  #announced: 0 | 1 | undefined
  readonly #readers = new Map<number, 0 | 1>()

  constructor(slabBytes: number) {
    this.slabs = [new SharedArrayBuffer(slabBytes), new SharedArrayBuffer(slabBytes)]
  }

  /** @returns the slot that no bid thread reads, or undefined while one still has to move on. */
  free(): 0 | 1 | undefined {
    // A first catalog that was not taken may still be read by some, so its slab is no better than the other.
    return SLOTS.find(slot => slot !== this.#announced && !this.#isRead(slot))
  }

  #isRead(slot: 0 | 1): boolean {
    for (const read of this.#readers.values()) if (read === slot) return true
    return false
  }

  /** The bid threads are being told to read this slot. */
  announce(slot: 0 | 1): void {
    assert(this.free() === slot, 'a slab is announced only when nobody reads what it held before', { slot })
    this.#announced = slot
  }

  /** Another slot is announced again, or none: the catalog that was is not taken, or has no successor. */
  revert(before: 0 | 1 | undefined): void {
    this.#announced = before
  }

  /** A bid thread now reads this slot and no other. */
  acknowledge(thread: number, slot: 0 | 1): void {
    this.#readers.set(thread, slot)
  }

  /** A bid thread has ended and reads nothing. */
  release(thread: number): void {
    this.#readers.delete(thread)
  }
}
