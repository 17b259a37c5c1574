import { expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import type { Notice } from '../openrtb/notice.ts'
import { NoticeSender } from './notice-sender.ts'

const NOTICE: Notice = {
  kind: 'win',
  token: {
    ...{
      bidId: 'b',
      exchangeId: 'x',
      campaignId: 'c',
      lineItemId: 'l',
      creativeId: 'cr',
      lease: '',
      bucket: 0,
      counted: '',
    },
    ...{ billedBy: 'billing', day: 1, amountNanosMax: 1, nanosPerCpm: 1, expiresS: 1 },
  },
  ...{ atMs: 1, price: undefined, lossReason: undefined, minToWin: undefined },
}

class Bench {
  readonly posted: number[] = []
  nowMs = 0
  readonly sender = new NoticeSender(
    id => this.posted.push(id),
    () => this.nowMs,
  )
}

test('a notice is what the control thread says of it, in whatever order it answers', async () => {
  const { sender, posted } = new Bench()
  const both = [sender.send(NOTICE), sender.send(NOTICE)]
  sender.answered(posted[1] ?? -1, true)
  sender.answered(posted[0] ?? -1, false)
  sender.answered(99, true)
  expect(await Promise.all(both)).toEqual([false, true])
})

test('a notice that nobody answered in time is turned away, and its answer changes nothing any more', async () => {
  const bench = new Bench()
  const first = bench.sender.send(NOTICE)
  bench.nowMs = LIMITS.noticeAnswerMs - 1
  const second = bench.sender.send(NOTICE)
  bench.sender.sweep()
  bench.nowMs++
  bench.sender.sweep()
  expect(await first).toBe(false)
  bench.sender.answered(bench.posted[0] ?? -1, true)
  bench.sender.answered(bench.posted[1] ?? -1, true)
  expect(await second).toBe(true)
})

test('more than may wait are turned away at once, and places come free', async () => {
  const bench = new Bench()
  const waiting = Array.from({ length: LIMITS.noticesWaitingMax }, () => bench.sender.send(NOTICE))
  expect(await bench.sender.send(NOTICE)).toBe(false)
  expect(bench.posted.length).toBe(LIMITS.noticesWaitingMax)
  bench.sender.answered(0, true)
  expect(await waiting[0]).toBe(true)
  const next = bench.sender.send(NOTICE)
  bench.sender.answered(bench.posted.at(-1) ?? -1, true)
  expect(await next).toBe(true)
})
