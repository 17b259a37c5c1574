/** Chooses between the creatives of a line item that fit an impression. */
import type { PickIndex } from '../foundation/random.ts'
import { LIMITS } from '../limits.ts'
import { CREATIVE_CHOICES } from '../state/documents.ts'

/** Position of `first` in CREATIVE_CHOICES: needs no choice. */
export const CHOICE_FIRST = CREATIVE_CHOICES.indexOf('first')
const CHOICE_WEIGHTED = CREATIVE_CHOICES.indexOf('weighted')

/** Scratch of one engine: clear, add what fits, pick. */
export class CreativeChoice {
  readonly #creatives = new Uint32Array(LIMITS.creativesPerLineItemMax)
  readonly #weights = new Uint32Array(LIMITS.creativesPerLineItemMax)
  #group = -1
  #weight = 0
  count = 0

  /** Begins with another line item. */
  clear(): void {
    this.count = 0
    this.#weight = 0
    this.#group = -1
  }

  /** Adds a creative; of the renditions of one creative, which have one group and come together, only the first. */
  add(creative: number, group: number, weight: number): void {
    if (group === this.#group) return
    this.#group = group
    this.#creatives[this.count] = creative
    this.#weights[this.count] = weight
    this.#weight += weight
    this.count++
  }

  /**
   * One of those that were added, at least one.
   * @param choice position in CREATIVE_CHOICES
   * @param turn how often the line item has bid on this thread: the creatives take turns
   */
  pick(choice: number, turn: number, pickIndex: PickIndex): number {
    if (choice !== CHOICE_WEIGHTED) return this.#creatives[turn % this.count]!
    let left = pickIndex(this.#weight)
    let at = 0
    while (left >= this.#weights[at]!) left -= this.#weights[at++]!
    return this.#creatives[at]!
  }
}
