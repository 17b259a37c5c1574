/** The record of an exchange: how it asks, what it takes, and how it wants to be answered. */
import { LIMITS } from '../limits.ts'
import { CALLERS } from './callers.ts'
import type { Creative } from './creative-document.ts'
import { DIMENSIONS } from './dimensions.ts'
import { flag, list, mapOf, number, oneOf, optional, record, type TypeOf, text } from './fields.ts'
import { CURRENCY, RECORD_NAME, STATUS } from './record-fields.ts'

const seat = text({ about: "the tenant's seat at this exchange", max: 64 })

/** Fields of a bid that creatives may leave out, by the name that an exchange gives them. */
const REQUIRED_FIELDS = {
  iurl: ({ previewUrl }: Creative) => previewUrl,
  bundle: ({ appBundle }: Creative) => appBundle,
  language: ({ language }: Creative) => language,
  attr: ({ attributes }: Creative) => attributes,
} as const satisfies Record<string, (creative: Creative) => unknown>
type RequiredField = keyof typeof REQUIRED_FIELDS

/** A quota. Tasks divide it among themselves, each an equal part. */
export function requestsPerS(about: string): ReturnType<typeof number> {
  return number({ about, min: 1, max: 1_000_000 })
}

/** One record of exchanges. */
export const EXCHANGE = record(
  {
    id: DIMENSIONS.exchange.value,
    name: RECORD_NAME,
    status: STATUS,
    seat: optional(seat),
    otherSeats: optional(list(text({ about: 'a seat for those that ask for it', max: 64 }), { min: 1, max: 20 })),
    currency: CURRENCY,
    noBid: oneOf(['empty', 'reason'], 'a no-bid is 204, or 200 with nbr'),
    noBidCodes: optional(
      mapOf(
        { about: "OpenRTB's no-bid reason", max: 2, pattern: /^(\d|1[0-7])$/, like: 'a code from 0 to 17' },
        number({ about: 'what this exchange calls it', min: 0, max: 9_999 }),
        { about: 'codes that are sent instead of those of OpenRTB', max: 18 },
      ),
    ),
    gzip: flag('whether answers may be compressed'),
    creativeApproval: optional(
      oneOf(
        ['needed', 'not-needed'],
        'needed: only creatives that it approved are bid; not-needed, also without it: all that it did not refuse',
      ),
    ),
    requiredFields: optional(
      list(oneOf(Object.keys(REQUIRED_FIELDS) as RequiredField[], 'a creative without it is not bid here'), {
        min: 1,
        max: Object.keys(REQUIRED_FIELDS).length,
      }),
    ),
    bidsPerImpression: optional(
      oneOf(['one', 'many'], 'many: one bid for each deal and one for the open auction; without it one'),
    ),
    auctionMacros: optional(
      mapOf(
        {
          about: 'a macro of OpenRTB',
          max: 40,
          pattern: /^AUCTION_[A-Z_]+(:[A-Z0-9]+)?$/,
          like: 'like "AUCTION_PRICE"',
        },
        text({
          about: 'how this exchange spells it',
          max: 64,
          pattern: /^[!#-%(-;=?-[\]-~]+$/,
          like: 'printable ASCII without blanks, quotes, & < > and \\, like "%%WINNING_PRICE%%"',
        }),
        { about: 'macros that it spells in another way', max: LIMITS.auctionMacrosMax },
      ),
    ),
    markup: optional(
      oneOf(
        ['bid', 'win-notice'],
        'where markup comes: in the bid (also without it), or as the answer to the win notice; native ads need the bid',
      ),
    ),
    expiryS: optional(
      number({
        about: 'seconds from a bid until its impression, at most, instead of the usual ones',
        min: 1,
        max: 3_600,
      }),
    ),
    billing: optional(
      oneOf(
        ['burl', 'win', 'impression'],
        'what is billed: the billing notice (also without it), the win notice of an exchange that sends no other, or ' +
          'the impression that the markup calls; of video and audio that one or the billing notice, whichever is first',
      ),
    ),
    notices: optional(
      list(oneOf(['win', 'loss'], 'notices that it sends beside the billing notice'), { min: 1, max: 2 }),
    ),
    callers: optional(CALLERS),
    networkAllowanceMs: number({ about: 'part of tmax that the network needs, in ms', min: 0, max: 1_000 }),
    requestsPerS: optional(requestsPerS('bid requests a second that are taken from it, over all tasks')),
    overQuota: optional(
      oneOf(['no-bid', 'status-429'], 'what a request beyond a quota gets: 204 (also without it), or 429'),
    ),
    tmaxDefaultMs: optional(number({ about: 'tmax of requests that name none, in ms', min: 10, max: 10_000 })),
  },
  'an exchange that may send bid requests',
)

/** An exchange that may send bid requests. */
export type Exchange = TypeOf<typeof EXCHANGE>

/** The seats of the tenant at an exchange, the usual one first. Makes a list. */
export function seatsOf({ seat: usual, otherSeats = [] }: Exchange): readonly string[] {
  return usual === undefined ? otherSeats : [usual, ...otherSeats]
}

/** Whether an exchange takes a creative: approved where it must be, with the fields and the way of its markup. Pure. */
export function takesCreative(exchange: Exchange, creative: Creative): boolean {
  const says = creative.approvals?.[exchange.id]
  if (says === 'refused' || (exchange.creativeApproval === 'needed' && says !== 'approved')) return false
  if (exchange.markup === 'win-notice' && creative.format === 'native') return false
  return (exchange.requiredFields ?? []).every(field => REQUIRED_FIELDS[field](creative) !== undefined)
}

/** What an exchange asks of creatives, as a text to compare; of a record that may hold anything. */
export function asksOfCreatives(exchange: Partial<Exchange> | null | undefined): string {
  const { creativeApproval, requiredFields, markup } = exchange ?? {}
  return JSON.stringify([creativeApproval === 'needed', requiredFields, markup === 'win-notice'])
}
