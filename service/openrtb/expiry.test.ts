import { expect, test } from 'vitest'
import type { Exchange } from '../state/exchange-document.ts'
import { expiryS } from './expiry.ts'

const EXCHANGE: Exchange = {
  ...{ id: 'adx', name: 'Exchange', status: 'active', currency: 'USD', noBid: 'empty', gzip: true },
  networkAllowanceMs: 20,
}
const seconds = (imp: object, request: object = {}, exchange = EXCHANGE) =>
  expiryS(exchange, request as Record<string, unknown>, imp as Record<string, unknown>)

test('a bid waits as long as is usual for the place', () => {
  expect(seconds({ banner: {} })).toBe(60)
  expect(seconds({ banner: {} }, { app: {} })).toBe(300)
  expect([seconds({ video: {} }), seconds({ banner: {}, audio: {} })]).toEqual([300, 300])
  expect(seconds({ native: {} }, { app: {} })).toBe(600)
  expect([seconds({ banner: {}, instl: 1 }), seconds({ video: {}, rwdd: 1 })]).toEqual([1_800, 1_800])
  expect(seconds({ video: { ext: { rewarded: 1 } } })).toBe(1_800)
})

test("or as long as the exchange's setting says", () => {
  expect(seconds({ banner: {}, instl: 1 }, {}, { ...EXCHANGE, expiryS: 90 })).toBe(90)
})

test('and never longer than the impression says', () => {
  expect([45, 45.9, 61, 3_600].map(exp => seconds({ banner: {}, exp }))).toEqual([45, 45, 60, 60])
  expect([0, -5, 0.5, '45', null].map(exp => seconds({ banner: {}, exp }))).toEqual([60, 60, 60, 60, 60])
})
