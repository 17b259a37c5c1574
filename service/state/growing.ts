import { assert } from '../foundation/assert.ts'

/** Typed arrays that double when they are full: a catalog is collected before its size is known. */

class GrowingNumbers<T extends Uint32Array | Float64Array> {
  #values: T
  #length = 0
  readonly #allocate: (length: number) => T

  constructor(allocate: (length: number) => T) {
    this.#allocate = allocate
    this.#values = allocate(1_024)
  }

  get length(): number {
    return this.#length
  }

  /** Appends one number. Amortised O(1). */
  push(value: number): void {
    if (this.#length === this.#values.length) this.#reserve(1)
    this.#values[this.#length++] = value
  }

  /** Appends many numbers, each increased by an offset. Cost: O(values). */
  append(values: T, offset = 0): void {
    this.#reserve(values.length)
    const all = this.#values
    if (offset === 0) all.set(values, this.#length)
    else for (let i = 0, at = this.#length; i < values.length; i++) all[at++] = values[i]! + offset
    this.#length += values.length
  }

  /** Appends what each number stands for. Cost: O(values). */
  appendMapped(values: T, meanings: GrowingNumbers<T>): void {
    this.#reserve(values.length)
    const [all, meaningOf] = [this.#values, meanings.#values]
    for (let i = 0, at = this.#length; i < values.length; i++) all[at++] = meaningOf[values[i]!]!
    this.#length += values.length
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#values.length) return
    const larger = this.#allocate(Math.max(this.#values.length * 2, this.#length + count))
    larger.set(this.#values)
    this.#values = larger
  }

  /** Hands over what was pushed, in memory of its own, and is empty again. Cost: O(length). */
  take(): T {
    const taken = this.#values.slice(0, this.#length) as T
    this.#length = 0
    return taken
  }

  at(index: number): number {
    return this.#values[index]!
  }

  /** What has been pushed, as a view that is valid until the next push. */
  view(): T {
    return this.#values.subarray(0, this.#length) as T
  }
}

/** A list of numbers that grows, unsigned 32-bit ones or 64-bit floats. */
export type Growing<T extends Uint32Array | Float64Array> = GrowingNumbers<T>

/** An empty list of unsigned 32-bit numbers. */
export const growingU32 = () => new GrowingNumbers<Uint32Array>(length => new Uint32Array(length))
/** An empty list of 64-bit floats. */
export const growingF64 = () => new GrowingNumbers<Float64Array>(length => new Float64Array(length))

/** Does the same with every column of a set. @returns what came out, by the same names */
export function mapColumns<const C extends object, R>(
  columns: C,
  each: (column: C[keyof C], name: keyof C) => R,
): { readonly [name in keyof C]: R } {
  const names = Object.keys(columns) as (keyof C)[]
  return Object.fromEntries(names.map(name => [name, each(columns[name], name)])) as { [name in keyof C]: R }
}

/** ASCII text of many pieces as bytes, so that pieces leave the V8 heap at once. */
export class GrowingText {
  readonly #encoder = new TextEncoder()
  #bytes = new Uint8Array(64 * 1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  /** Appends text whose units are all below 128. Amortised O(text.length). */
  push(text: string): void {
    this.#reserve(text.length)
    const { written, read } = this.#encoder.encodeInto(text, this.#bytes.subarray(this.#length))
    assert(written === text.length && read === text.length, 'only ASCII is kept as bytes', { read, written })
    this.#length += written
  }

  /** Appends bytes of another such text. Cost: O(bytes). */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Hands over what was pushed, in memory of its own, and is empty again. Cost: O(length). */
  take(): Uint8Array {
    const taken = this.#bytes.slice(0, this.#length)
    this.#length = 0
    return taken
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + bytes))
    larger.set(this.view())
    this.#bytes = larger
  }
}
