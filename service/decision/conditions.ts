import { type Catalog, ENTRY_WORDS } from '../state/catalog.ts'
import { AND, HAS, NOT, SPLIT, WORD_BITS } from '../state/conditions.ts'
import { splitHash, splitPart } from '../state/user-split.ts'

const OPERATION = (1 << WORD_BITS) - 1

/**
 * Runs the programs of line items whose targeting the index alone cannot answer: on survivors only, each program at
 * most once per impression. Scratch of one bid thread for one catalog; a request leaves nothing behind but numbers.
 */
export class Conditions {
  readonly #catalog: Catalog
  /** Per value: the moment at which a request last had it. */
  readonly #held: Uint32Array
  /** Per program: the impression in which it was last run, and what came out. */
  readonly #ranIn: Uint32Array
  readonly #holds: Uint8Array
  /** A moment is a request's beginning or an impression's. Values of the request hold in all its impressions. */
  #moment = 0
  #request = 0
  #userHash = -1

  constructor(catalog: Catalog) {
    this.#catalog = catalog
    const programs = catalog.columns.programStart.length - 1
    this.#held = new Uint32Array(catalog.columns.entries.length / ENTRY_WORDS)
    this.#ranIn = new Uint32Array(programs)
    this.#holds = new Uint8Array(programs)
  }

  /** @param userId '' = unknown, or not to be used */
  beginRequest(userId: string): void {
    this.#turn()
    this.#request = this.#moment
    this.#userHash = userId === '' ? -1 : splitHash(userId)
  }

  beginImpression(): void {
    this.#turn()
  }

  /** After 2^32 moments old ones would seem to be now. */
  #turn(): void {
    if (this.#moment > 0xffff_fff0) {
      this.#held.fill(0)
      this.#ranIn.fill(0)
      this.#moment = 0
    }
    this.#moment++
  }

  /** The request, or its impression at hand, has this value. */
  hold(value: number): void {
    this.#held[value] = this.#moment
  }

  /** Whether a line item without a program, or whose program holds. Cost: O(words), once per program. */
  take(lineItem: number): boolean {
    const program = this.#catalog.columns.lineItemProgram[lineItem]! - 1
    if (program < 0) return true
    if (this.#ranIn[program] !== this.#moment) {
      this.#ranIn[program] = this.#moment
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
      if (operation === HAS) stack = (stack << 1) | this.#has(word >>> WORD_BITS)
      else if (operation === SPLIT) stack = (stack << 1) | this.#isIn(word >>> WORD_BITS)
      else if (operation === NOT) stack ^= 1
      else {
        const below = stack >>> 1
        stack = operation === AND ? below & (stack | ~1) : below | (stack & 1)
      }
    }
    return stack & 1
  }

  #has(value: number): number {
    const moment = this.#held[value]!
    return moment === this.#request || moment === this.#moment ? 1 : 0
  }

  #isIn(split: number): number {
    if (this.#userHash < 0) return 0
    const { splitSalt, splitFrom, splitTo } = this.#catalog.columns
    const part = splitPart(splitSalt[split]!, this.#userHash)
    return part >= splitFrom[split]! && part <= splitTo[split]! ? 1 : 0
  }
}
