/** What keeps a line item from bidding, told so that a person can repair it. */
import type { STAGES } from './decide.ts'

/** What one side says: `wants one of` with `USA, CAN`, or `request has` with `DEU`; a whole sentence has no values. */
export interface Side {
  readonly verb: string
  readonly values?: readonly (string | number)[]
}

/** One check that fails. */
export interface Finding {
  /** The no-bid reason that the check stands for: its place in the order of decision. */
  readonly reason: (typeof STAGES)[number]
  /** What is compared, such as a dimension. */
  readonly what: string
  readonly ours: Side
  readonly theirs: Side
  /** Which creative fails, where it is not the line item itself. */
  readonly creativeId?: string
}

/** A side with its values. Pure. */
export function side(verb: string, ...values: readonly (string | number)[]): Side {
  return { verb, values }
}

const VALUES_SHOWN = 12

/** What is compared, as in `wants one of USA, CAN; request has DEU`. Long lists are shortened. Pure. */
export function findingText({ ours, theirs, creativeId }: Finding): string {
  const whose = creativeId === undefined ? '' : `creative ${creativeId} `
  return `${whose}${sideText(ours)}; ${sideText(theirs)}`
}

function sideText({ verb, values }: Side): string {
  if (values === undefined) return verb
  const shown = values.slice(0, VALUES_SHOWN).join(', ')
  const more = values.length > VALUES_SHOWN ? ` … and ${values.length - VALUES_SHOWN} more` : ''
  return `${verb} ${shown === '' ? 'nothing' : shown}${more}`
}
