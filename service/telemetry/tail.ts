/** The last things of a kind, counted, so that whoever looks again gets only what is new. */
export class Tail<T> {
  readonly #max: number
  readonly #items: T[] = []
  #count = 0

  /** @param max things that are kept */
  constructor(max: number) {
    this.#max = max
  }

  /** Things that ever came. */
  get count(): number {
    return this.#count
  }

  /** The newest one. */
  get last(): T | undefined {
    return this.#items.at(-1)
  }

  /** Takes one in; the oldest goes. Cost: O(max) at worst, to move some references */
  add(item: T): void {
    this.#items.push(item)
    this.#count++
    if (this.#items.length > this.#max) this.#items.shift()
  }

  /** Puts one in the place of the newest one, as something new. */
  replaceLast(item: T): void {
    this.#items.pop()
    this.#items.push(item)
    this.#count++
  }

  /** What came after so many, oldest first, as far as it is kept. Cost: O(those) */
  since(count: number): readonly T[] {
    const news = Math.min(this.#count - count, this.#items.length)
    return news <= 0 ? [] : this.#items.slice(-news)
  }
}
