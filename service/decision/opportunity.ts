/** What the engine knows of a bid request, in its own words: OpenRTB is translated into this before it decides. */
import type { Nanos } from '../foundation/units.ts'

/** What all impressions of one bid request have in common. Text is normalised; '' or an empty list = unknown. */
export interface Facts {
  /** Path name of the exchange. */
  readonly exchange: string
  /** ISO 3166-1 alpha-3. */
  readonly country: string
  /** ISO 3166-2. */
  readonly region: string
  /** AdCOM device type as text. */
  readonly deviceType: string
  /** Lower case. */
  readonly os: string
  /** ISO 639-1. */
  readonly language: string
  /** The site's domain and those above it, most specific first. */
  readonly domain: readonly string[]
  /** Store id or bundle of the app. */
  readonly app: string
  /** Categories of the page or app with those above them. */
  readonly category: readonly string[]
  /** Hour of the week in the tenant's time zone as text, '0' = Monday 00:00–01:00. */
  readonly daypart: string
  /** Domains of advertisers that the publisher does not want. */
  readonly blockedDomains: readonly string[]
  readonly blockedCategories: readonly string[]
}

/** A deal that the exchange offers with an impression. */
export interface DealOffer {
  readonly id: string
  readonly floorNanos: Nanos
}

/** What a banner place takes. A mask of 0 means no restriction; bit n stands for code n (mimes: MIMES[n]). */
export interface BannerOffer {
  readonly mimes: number
  readonly blockedAttributes: number
  readonly blockedTypes: number
}

/** What a video place takes. Masks as in BannerOffer; mimes 0 = none that we know, which takes nothing. */
export interface VideoOffer {
  readonly mimes: number
  readonly protocols: number
  readonly blockedAttributes: number
  readonly minDurationS: number
  readonly maxDurationS: number
  /** Exact lengths in seconds, when only these are taken; otherwise empty. */
  readonly exactDurationsS: readonly number[]
}

/** One impression as the engine sees it. */
export interface Opportunity {
  /** Slots that it offers, see bannerSlot and VIDEO_SLOT. */
  readonly slots: readonly number[]
  readonly banner: BannerOffer | undefined
  readonly video: VideoOffer | undefined
  /** Everything must load over https. */
  readonly secure: boolean
  /** Floor of the open auction per impression, in the ledger currency. */
  readonly floorNanos: Nanos
  readonly deals: readonly DealOffer[]
  /** Only deals may bid. */
  readonly privateAuction: boolean
}
