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
    if (this.#length === this.#values.length) {
      const larger = this.#allocate(this.#length * 2)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.#length++] = value
  }

  at(index: number): number {
    return this.#values[index]!
  }

  /** What has been pushed, as a view that is valid until the next push. */
  view(): T {
    return this.#values.subarray(0, this.#length) as T
  }
}

/** An empty list of unsigned 32-bit numbers. */
export const growingU32 = () => new GrowingNumbers(length => new Uint32Array(length))
/** An empty list of 64-bit floats. */
export const growingF64 = () => new GrowingNumbers(length => new Float64Array(length))

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
    if (this.#length + text.length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + text.length))
      larger.set(this.view())
      this.#bytes = larger
    }
    const { written, read } = this.#encoder.encodeInto(text, this.#bytes.subarray(this.#length))
    assert(written === text.length && read === text.length, 'only ASCII is kept as bytes', { read, written })
    this.#length += written
  }

  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}
