/** A broken promise between two parts of this program, as opposed to bad input or a failed dependency. */
export class AssertionFailure extends Error {
  override readonly name = 'AssertionFailure'
  readonly details: Readonly<Record<string, unknown>>

  constructor(message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(`${message} ${JSON.stringify(details)}`)
    this.details = details
  }
}

/**
 * Throws an AssertionFailure unless the condition holds. At load a failure refuses the new version; on the bid path
 * the route answers no-bid, counts it and goes on.
 */
export function assert(condition: boolean, message: string, details?: Record<string, unknown>): asserts condition {
  if (!condition) throw new AssertionFailure(message, details)
}
