import type { PickIndex } from '../foundation/random.ts'
import type { NoticeUrls } from '../openrtb/notice-urls.ts'
import { selfBidRequest } from '../openrtb/self-bid.ts'
import { createRecorderBlock, Recorder } from '../telemetry/recorder.ts'
import { BidPath, type Moment } from './bid-path.ts'
import type { Serving } from './serving.ts'

/**
 * Bids on a request of our own with a state before it serves; what that counts and logs goes nowhere. Made once per
 * thread: its path's memory costs half as much as a bid, and changes of state come several times a second.
 */
export class SelfBidder {
  readonly #path: BidPath
  #problem = ''

  constructor({ notices, pickIndex }: { readonly notices: NoticeUrls | undefined; readonly pickIndex: PickIndex }) {
    this.#path = new BidPath({
      recorder: new Recorder(createRecorderBlock()),
      notices,
      pickIndex,
      bidIdPrefix: 'self-',
      alarm: (code, detail) => {
        this.#problem = `${code}: ${detail}`
      },
    })
  }

  /** Why a state must not serve; '' when it may. Takes bids of it, which are nobody's. */
  problemOf(next: Serving, moment: Moment): string {
    this.#problem = ''
    const exchange = next.header.exchanges[0]
    if (exchange === undefined) return 'the tenant has no exchange'
    const { status } = this.#path.answer(Buffer.from(selfBidRequest(next.base.catalog)), exchange, next, moment)
    return this.#problem !== '' || status !== 400 ? this.#problem : 'the self-bid was answered 400'
  }
}
