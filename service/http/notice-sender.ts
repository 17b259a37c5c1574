/** A bid thread's side of notices: each goes to the control thread, and waits here until it is safe or turned away. */
import { LIMITS } from '../limits.ts'
import type { Notice } from '../openrtb/notice.ts'

/** How a notice gets to the control thread. */
export type PostNotice = (id: number, notice: Notice) => void

interface Waiting {
  readonly untilMs: number
  readonly done: (isKept: boolean) => void
}

/** Notices of one bid thread that are on their way. */
export class NoticeSender {
  readonly #post: PostNotice
  readonly #monotonicMs: () => number
  /** In the order in which they came, which is that of their ends. */
  readonly #waiting = new Map<number, Waiting>()
  #names = 0

  constructor(post: PostNotice, monotonicMs: () => number) {
    this.#post = post
    this.#monotonicMs = monotonicMs
  }

  /** @returns false when the notice was turned away: there are too many, or nobody could keep it in time */
  send(notice: Notice): Promise<boolean> {
    if (this.#waiting.size >= LIMITS.noticesWaitingMax) return Promise.resolve(false)
    return new Promise(done => {
      const id = this.#names++
      this.#waiting.set(id, { untilMs: this.#monotonicMs() + LIMITS.noticeAnswerMs, done })
      this.#post(id, notice)
    })
  }

  /** What the control thread says of a notice; too late for one that was turned away. */
  answered(id: number, isKept: boolean): void {
    this.#waiting.get(id)?.done(isKept)
    this.#waiting.delete(id)
  }

  /** Turns away what has waited too long; to be called some times a second. Cost: O(those). */
  sweep(): void {
    const nowMs = this.#monotonicMs()
    for (const [id, { untilMs }] of this.#waiting) {
      if (untilMs > nowMs) return
      this.answered(id, false)
    }
  }
}
