/** Whether a version lacks so much of the one before that it is taken for an accident, such as an export cut short. */
import { LIMITS } from '../limits.ts'

/** @returns why the version after must not follow the one before; undefined when it may. Pure. */
export function shrinkProblem(lineItemsBefore: number, lineItemsAfter: number): string | undefined {
  if (lineItemsBefore < LIMITS.shrinkLineItemsMin) return undefined
  if (lineItemsAfter > lineItemsBefore * LIMITS.shrinkShareMin) return undefined
  return `it has ${lineItemsAfter} good line items, and the one before has ${lineItemsBefore}`
}
