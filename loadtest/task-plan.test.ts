import { expect, test } from 'vitest'
import { neededMib, type SizingWish, taskPlans } from './task-plan.ts'

const measured = { capacityPerS: 10_000, share: 0.5, baseMib: 200, mibPerLineItem: 0.001 }
const wish: SizingWish = {
  ...{ ratePerS: 20_000, lineItems: 100_000, users: 10_000_000 },
  ...{ vcpuHourPrice: 0.04, gibHourPrice: 0.005 },
}

test('a task holds two versions of the line items and of the users', () => {
  expect(neededMib(measured, wish)).toBeCloseTo(200 + 2 * (100 + 190.73), 1)
})

test('tasks are one more than the rate needs, and cost what their sizes cost', () => {
  const plans = taskPlans(measured, wish)
  // 1, 2, 4 and 8 vCPUs have 1, 1, 3 and 7 bid threads of 5,000 requests/s each.
  expect(plans.map(({ vcpus, tasks }) => [vcpus, tasks])).toEqual([
    [1, 5],
    [2, 5],
    [4, 3],
    [8, 2],
  ])
  const [one] = plans
  expect(one).toMatchObject({ gib: 2, threads: 1, perTaskPerS: 5_000 })
  expect(one?.costPerHour).toBeCloseTo(5 * (0.04 + 2 * 0.005), 6)
  expect(one?.costPerBillion).toBeCloseTo((0.25 / 72e6) * 1e9, 6)
})

test('sizes without the memory are left out, and costs without prices', () => {
  const { vcpuHourPrice: _, ...free } = wish
  const plans = taskPlans(measured, { ...free, users: 400_000_000, vcpuHourPrice: undefined })
  expect(plans.map(({ vcpus }) => vcpus)).toEqual([4, 8])
  expect(plans.every(({ costPerHour }) => costPerHour === undefined)).toBe(true)
})

test('there is never one task alone', () => {
  expect(taskPlans(measured, { ...wish, ratePerS: 1 }).every(({ tasks }) => tasks === 2)).toBe(true)
})
