/**
 * Why nothing was bid for an impression: the closed list. One table gives each reason its meaning and whether an
 * operator must look. In OpenRTB's numbers they are in openrtb/no-bid.ts.
 */
export const NO_BID_REASONS = {
  'state-not-ready': { alarm: true, meaning: 'No catalog is loaded yet.' },
  'tenant-paused': { alarm: false, meaning: "The tenant's settings say paused." },
  'exchange-paused': { alarm: false, meaning: 'The exchange is paused in the documents.' },
  stopped: { alarm: false, meaning: 'The tenant or the exchange is stopped by hand at the admin port.' },
  'seat-not-allowed': { alarm: false, meaning: 'wseat does not name our seat, or bseat does.' },
  'deadline-too-short': {
    alarm: false,
    meaning: 'tmax less the network allowance and the loop lag leaves too little time.',
  },
  'transparency-required': {
    alarm: false,
    meaning:
      'regs.ext.dsa asks who pays for an ad, and all that remain do not tell it, or nobody or both would show it.',
  },
  'currency-not-accepted': {
    alarm: false,
    meaning: 'The request takes no currency that we can bid in, or a rate is missing or too old.',
  },
  'no-supported-format': { alarm: false, meaning: 'The impression offers no banner and no video that we can read.' },
  'no-eligible-line-item': {
    alarm: false,
    meaning: 'No line item targets this opportunity with a creative of its size.',
  },
  'outside-flight': { alarm: false, meaning: 'Line items target it, but none is in its flight now.' },
  'above-maximum-cpm': {
    alarm: true,
    meaning: "Line items in flight target it, but all have a CPM above the maximum of the tenant's guards.",
  },
  'below-floor': { alarm: false, meaning: 'Line items in flight target it, but all pay less than the floor.' },
  'advertiser-blocked': {
    alarm: false,
    meaning: 'badv names the advertiser of all that pay enough, or their deal does not.',
  },
  'category-blocked': {
    alarm: false,
    meaning: 'bcat names a category of all that remain, or acat does not, or bapp names the app.',
  },
  'creative-not-allowed': {
    alarm: false,
    meaning:
      'No creative of those that remain has the attributes, type, media, language, duration or security that is asked' +
      ' for, finds its frameworks, or pays the floor of its duration.',
  },
  'creative-not-approved': {
    alarm: false,
    meaning:
      'The exchange has refused all creatives that remain, must approve them first, misses a field or takes no native.',
  },
  'already-on-page': {
    alarm: false,
    meaning: 'All that remain have a bid for an earlier impression of the page, and may be there once.',
  },
  'frequency-capped': {
    alarm: false,
    meaning: 'Whoever would see it has seen all that remain as often as their caps allow, or cannot be told apart.',
  },
  'paced-out': { alarm: false, meaning: 'Chance, at the pass-through rate, left out all that remain.' },
  'no-budget': {
    alarm: false,
    meaning:
      'The budget of all that remain is spent, held by open bids, or not leased yet; or they are stopped by hand.',
  },
  'spending-too-fast': {
    alarm: true,
    meaning: "Bids of this minute would cost more than the maximum of the tenant's guards.",
  },
  'answer-full': { alarm: false, meaning: 'Bids for earlier impressions are as long as an answer may be.' },
  'bid-refused': { alarm: true, meaning: 'Our own acceptance check found the finished bid invalid; it was not sent.' },
  'internal-error': { alarm: true, meaning: 'A broken assertion while deciding; the process goes on.' },
} as const satisfies Record<string, { alarm: boolean; meaning: string }>

/** One of the closed list. */
export type NoBidReason = keyof typeof NO_BID_REASONS
/** All reasons in the table's order: a reason's position is its place among the recorder's counters. */
export const NO_BID_REASON_NAMES = Object.keys(NO_BID_REASONS) as readonly NoBidReason[]
