/** What a notice of an exchange or a device means to the ledger and the event stream. */
import { LIMITS } from './limits.ts'
import { EXCHANGE_NOTICES, type Notice } from './openrtb/notice.ts'
import type { ArrivedNotice } from './remote-cache/notice-intake.ts'
import { accountsOf, tallyOf } from './spend/accounts.ts'
import type { BookOperation } from './spend/ledger.ts'

/** What is to be done about a notice: all that bill one bid have one key in the ledger. */
export function arrivedNotice({ kind, token, atMs, price, lossReason, minToWin }: Notice): ArrivedNotice {
  const { bidId, exchangeId, campaignId, lineItemId, creativeId, day } = token
  const known: readonly (readonly [string, string | number | undefined])[] = [
    ...[['nanos', price?.nanos] as const, ['reading', price?.reading] as const],
    ...[['lossReason', lossReason] as const, ['minToWin', minToWin] as const],
  ]
  const told = known.filter(([, value]) => value !== undefined) as [string, string | number][]
  const comesAgain = EXCHANGE_NOTICES.some(each => each === kind)
  const ids = {
    bid: bidId,
    exchange: exchangeId,
    campaign: campaignId,
    lineItem: lineItemId,
    creative: creativeId,
    day,
  }
  const isAudit = price?.reading === 'audit'
  // Somebody may look at a bid's markup before it is shown and billed: that is another event.
  const key = `${bidId}:${kind}${isAudit ? ':audit' : ''}`
  const event = { key, kind, atMs, about: { ...ids, ...Object.fromEntries(told) } }
  if (price === undefined || isAudit) return { booking: undefined, event, comesAgain }
  const booking: BookOperation = {
    kind: 'book',
    key: bidId,
    lease: token.lease,
    bucket: token.bucket,
    accounts: accountsOf(campaignId, lineItemId, day),
    tallies: [tallyOf(exchangeId, day)],
    isFlagged: price.reading !== 'exact',
    amountNanos: price.nanos,
    rememberMs: Math.max(0, token.expiresS * 1_000 - atMs) + LIMITS.noticeAnswerMs,
  }
  return { booking, event, comesAgain }
}
