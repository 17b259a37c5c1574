/** Notices of exchanges and events of devices: what is told about a bid after it was made. Pure. */
import { type EncryptedPrice, type NoticePrice, readNoticePrice } from './notice-price.ts'
import type { NoticeToken } from './notice-token.ts'

/** What exchanges tell, in `/notice/{kind}/`. OpenRTB 2.6 sections 4.2.3 and 7.8. */
export const EXCHANGE_NOTICES = ['win', 'billing', 'loss'] as const
/** What the markup tells, in `/event/{kind}/`. */
export const DEVICE_EVENTS = [
  ...(['impression', 'viewable', 'click', 'conversion'] as const),
  ...(['start', 'first-quartile', 'midpoint', 'third-quartile', 'complete', 'skip'] as const),
] as const

/** What the markup tells. */
export type DeviceEvent = (typeof DEVICE_EVENTS)[number]
/** What an exchange tells, or the markup. */
export type NoticeKind = (typeof EXCHANGE_NOTICES)[number] | DeviceEvent

/** One notice or event, as its address says it. Plain data. */
export interface Notice {
  readonly kind: NoticeKind
  readonly token: NoticeToken
  /** Milliseconds since 1970 at which it came. */
  readonly atMs: number
  /** What is billed by it; undefined when this bid is billed by other notices. */
  readonly price: NoticePrice | undefined
  /** OpenRTB's loss reason code. */
  readonly lossReason: number | undefined
  /** The least price that would have won, as a CPM in the bid's currency. */
  readonly minToWin: number | undefined
}

/** Values of an address's parameters, percent-decoded; as URLSearchParams gives them. */
interface Parameters {
  get(name: string): string | null
}

const LOSS_REASON = /^\d{1,5}$/
const CPM = /^\d{1,9}(\.\d{1,12})?$/

/** Whether a notice is one by which its bid is billed. */
export function isBilled(kind: NoticeKind, { billedBy }: NoticeToken): boolean {
  return kind === billedBy || (billedBy === 'billing-or-impression' && (kind === 'billing' || kind === 'impression'))
}

/** Reads what the address says beside its token: never throws, whatever it holds. */
export function readNotice(
  told: Pick<Notice, 'kind' | 'token' | 'atMs'>,
  parameters: Parameters,
  encrypted: EncryptedPrice | undefined,
): Notice {
  const { kind, token } = told
  const price = parameters.get('price') ?? undefined
  return {
    ...told,
    price: isBilled(kind, token) ? readNoticePrice(price, token, encrypted) : undefined,
    lossReason: numberOf(parameters.get('loss'), LOSS_REASON),
    minToWin: numberOf(parameters.get('min'), CPM),
  }
}

function numberOf(text: string | null, like: RegExp): number | undefined {
  return text !== null && like.test(text) ? Number(text) : undefined
}
