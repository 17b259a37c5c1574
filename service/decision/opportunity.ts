/** What the engine knows of a bid request, in its own words: OpenRTB is translated into this before it decides. */
import type { Nanos } from '../foundation/units.ts'
import type { LengthFloors } from './length-floors.ts'

/** What is known in one dimension, normalised; '' or an empty list = unknown. */
export type FactValue = string | readonly string[]

/** Bits: a bid must tell who pays for it; the page cannot show that; the page will show it, so nobody else may. */
export const TRANSPARENCY_ASKED = { told: 1, rendered: 2, notRendered: 4 } as const

/** What all impressions of one bid request have in common. */
export interface Facts {
  /**
   * Per dimension, in the order of REQUEST_DIMENSIONS: a list where a request can have many values, with the values
   * above them (subdomain and domain), else a text. Those that no line item targets need not be filled.
   */
  readonly values: readonly FactValue[]
  /** Path name of the exchange that asks. */
  readonly exchangeId: string
  /** The user's id, '' when unknown or not to be used. */
  readonly userId: string
  /** Domains of advertisers that the publisher does not want. */
  readonly blockedDomains: readonly string[]
  readonly blockedCategories: readonly string[]
  /** Store ids of apps that the publisher does not want advertised. */
  readonly blockedApps: readonly string[]
  /** Where there are any, a creative has none but these or ones below them. */
  readonly allowedCategories: readonly string[]
  /** Bits of TRANSPARENCY_ASKED. */
  readonly transparency: number
  /** Codes (languageCode) of languages; where there are any, a creative with a language has one of these. */
  readonly allowedLanguages: readonly number[]
}

/** A deal that the exchange offers with an impression. */
export interface DealOffer {
  readonly id: string
  /** The seat that bids in it, '' = none. */
  readonly seat: string
  readonly floorNanos: Nanos
  /** Beside its floor, what creatives pay by their length. */
  readonly lengthFloors: LengthFloors | undefined
  /** The floor is the price that was agreed: whoever pays it bids it. */
  readonly isFixedPrice: boolean
  /** Domains of the advertisers that may bid, those under them included; empty = all. */
  readonly advertiserDomains: readonly string[]
}

/** What a banner place takes. A mask of 0 means no restriction; bit n stands for code n (mimes: MIMES[n]). */
export interface BannerOffer {
  readonly mimes: number
  readonly blockedAttributes: number
  readonly blockedTypes: number
  /** It asks for shapes, too: which sizes of ours have one stands among the slots. */
  readonly asksForShape: boolean
  /** Frameworks that it has: of these, a mask of 0 means none. Not read where no creative needs any. */
  readonly frameworks: number
}

/** What a place for video or audio takes. Masks as in BannerOffer; mimes 0 = none that we know, which takes nothing. */
export interface MediaOffer {
  readonly mimes: number
  readonly protocols: number
  readonly blockedAttributes: number
  /** As in BannerOffer. */
  readonly frameworks: number
  readonly minDurationS: number
  readonly maxDurationS: number
  /** Exact lengths in seconds, when only these are taken; otherwise empty. */
  readonly exactDurationsS: readonly number[]
  /** Of the open auction, beside its floor. */
  readonly lengthFloors: LengthFloors | undefined
}

/** One part that a native place would like to show. A mask or a number of 0 is no restriction. */
export interface AssetWish {
  /** The place's own number for it. */
  readonly id: number
  readonly required: boolean
  /** What kind of part, see native-assets.ts; 0 = one that nobody has. */
  readonly code: number
  readonly charsMax: number
  readonly mimes: number
  readonly width: { readonly exact: number; readonly min: number }
  readonly height: { readonly exact: number; readonly min: number }
}

/** What a native place asks for, and how it wants to be answered. */
export interface NativeOffer {
  /** At least one. */
  readonly wishes: readonly AssetWish[]
  readonly blockedAttributes: number
  /** As in BannerOffer. */
  readonly frameworks: number
  /** The answer is one field, "native", that holds all the others. */
  readonly wrapped: boolean
  readonly version: '1.0' | '1.1' | '1.2'
  /** Events that the page can tell of; bit n of methods = method n. Undefined where it names none. */
  readonly events: readonly { readonly event: number; readonly methods: number }[] | undefined
  /** It can show a link to a privacy notice. */
  readonly privacy: boolean
}

/** One impression as the engine sees it. */
export interface Opportunity {
  /** As Facts.values, in the order of IMPRESSION_DIMENSIONS. */
  readonly values: readonly FactValue[]
  /** Slots that it offers, see bannerSlot, VIDEO_SLOT, AUDIO_SLOT and NATIVE_SLOT. */
  readonly slots: readonly number[]
  readonly banner: BannerOffer | undefined
  readonly video: MediaOffer | undefined
  readonly audio: MediaOffer | undefined
  readonly native: NativeOffer | undefined
  /** Everything must load over https. */
  readonly secure: boolean
  /** Floor of the open auction per impression, in the ledger currency. */
  readonly floorNanos: Nanos
  readonly deals: readonly DealOffer[]
  /** Only deals may bid. */
  readonly privateAuction: boolean
  /** How many impressions are billed when it is shown once: may have a part, and is 0 where nothing is billed. */
  readonly multiplier: number
}
