import { expect, test } from 'vitest'
import { accountsOf } from './accounts.ts'

test('a bid is booked on its line item and campaign, in total and by day', () => {
  expect(accountsOf('ca-1', 'li-1', 20_413)).toEqual(['l/li-1', 'l/li-1/20413', 'c/ca-1', 'c/ca-1/20413'])
})
