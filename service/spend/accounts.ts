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
