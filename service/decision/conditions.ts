import type { Catalog } from '../state/catalog.ts'
import { AND, HAS, NOT, SPLIT, WORD_BITS } from '../state/conditions.ts'
import { splitHash, splitPart } from '../state/user-split.ts'
import type { Terms } from './terms.ts'

const OPERATION = (1 << WORD_BITS) - 1

/**
 * Runs the programs of line items whose targeting the index alone cannot answer: on survivors only, each program at
 * most once per impression. Scratch of one bid thread for one catalog; a request leaves nothing behind but numbers.
 */
export class Conditions {
  readonly #catalog: Catalog
  readonly #terms: Terms
  /** Per program: the impression in which it was last run, and what came out. */
  readonly #ranIn: Uint32Array
  readonly #holds: Uint8Array
  #impression = 0
  #userHash = -1

  constructor(catalog: Catalog, terms: Terms) {
    this.#catalog = catalog
    this.#terms = terms
    const programs = catalog.columns.programStart.length - 1
    this.#ranIn = new Uint32Array(programs)
    this.#holds = new Uint8Array(programs)
  }

  /** @param userId '' = unknown, or not to be used */
  beginRequest(userId: string): void {
    this.#userHash = userId === '' ? -1 : splitHash(userId)
  }

  beginImpression(): void {
    this.#impression = (this.#impression + 1) >>> 0
    if (this.#impression > 0) return
    // The number comes round: what an old impression of this number left must not count.
    this.#impression = 1
    this.#ranIn.fill(0)
  }

  /** Whether a line item without a program, or whose program holds. Cost: O(words), once per program. */
  take(lineItem: number): boolean {
    const program = this.#catalog.columns.lineItemProgram[lineItem]! - 1
    if (program < 0) return true
    if (this.#ranIn[program] !== this.#impression) {
      this.#ranIn[program] = this.#impression
      this.#holds[program] = this.#run(program)
    }
    return this.#holds[program] === 1
  }

  /** The stack is the bits of a number: programs join as they go, so it is no deeper than an expression. */
  #run(program: number): number {
    const { programStart, programWords } = this.#catalog.columns
    const end = programStart[program + 1]!
    let stack = 0
    for (let i = programStart[program]!; i < end; i++) {
      const word = programWords[i]!
      const operation = word & OPERATION
      if (operation === HAS) stack = (stack << 1) | (this.#terms.has(word >>> WORD_BITS) ? 1 : 0)
      else if (operation === SPLIT) stack = (stack << 1) | this.#isIn(word >>> WORD_BITS)
      else if (operation === NOT) stack ^= 1
      else {
        const below = stack >>> 1
        stack = operation === AND ? below & (stack | ~1) : below | (stack & 1)
      }
    }
    return stack & 1
  }

  #isIn(split: number): number {
    if (this.#userHash < 0) return 0
    const { splitSalt, splitFrom, splitTo } = this.#catalog.columns
    const part = splitPart(splitSalt[split]!, this.#userHash)
    return part >= splitFrom[split]! && part <= splitTo[split]! ? 1 : 0
  }
}
