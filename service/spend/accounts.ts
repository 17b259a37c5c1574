/** The accounts on which a bid's spend is booked. */

/** Where an account's part of a name ends. */
const SEPARATOR = '/'

/**
 * Accounts of one bid, always the same four, whether they have limits or not: the line item's total, its day's, its
 * campaign's total, its day's. Ids of documents hold no slash.
 * @param day whole days since 1970 of the bid's lease, in the tenant's time zone
 */
export function accountsOf(campaignId: string, lineItemId: string, day: number): readonly string[] {
  const lineItem = `l${SEPARATOR}${lineItemId}`
  const campaign = `c${SEPARATOR}${campaignId}`
  return [lineItem, `${lineItem}${SEPARATOR}${day}`, campaign, `${campaign}${SEPARATOR}${day}`]
}

/** The tally of an exchange's day: what its statement is compared with. */
export function tallyOf(exchangeId: string, day: number): string {
  return `x${SEPARATOR}${exchangeId}${SEPARATOR}${day}`
}

/** What an account's name says. */
export interface AccountName {
  readonly kind: 'line-item' | 'campaign' | 'exchange'
  readonly id: string
  /** Whole days since 1970; undefined for the total. */
  readonly day: number | undefined
}

const KINDS: Readonly<Record<string, AccountName['kind']>> = { l: 'line-item', c: 'campaign', x: 'exchange' }

/** Reads what accountsOf and tallyOf write; undefined for a name that is none of them. */
export function accountName(name: string): AccountName | undefined {
  const [letter = '', id, day] = name.split(SEPARATOR)
  const kind = KINDS[letter]
  if (kind === undefined || id === undefined) return undefined
  return { kind, id, day: day === undefined ? undefined : Number(day) }
}
