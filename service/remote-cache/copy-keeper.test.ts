import { expect, test } from 'vitest'
import { CopyKeeper } from './copy-keeper.ts'

const WAIT = { timeout: 20_000 }

test('many changes make one copy, of the last', async () => {
  const copied: number[] = []
  const keeper = new CopyKeeper<number>({
    copy: async wanted => void copied.push(wanted),
    delayMs: 20,
    onFailure: () => {},
  })
  for (let i = 1; i <= 5; i++) keeper.note(i)
  await expect.poll(() => copied, WAIT).toEqual([5])
  keeper.note(6)
  await expect.poll(() => copied, WAIT).toEqual([5, 6])
  keeper.stop()
})

test('a copy that fails is told once and tried again, with what is wanted by then', async () => {
  const [tried, told]: [number[], string[]] = [[], []]
  const keeper = new CopyKeeper<number>({
    copy: async wanted => {
      tried.push(wanted)
      if (tried.length < 4) throw new Error(`${wanted} fails`)
    },
    delayMs: 5,
    onFailure: error => told.push(String(error)),
  })
  keeper.note(1)
  await expect.poll(() => tried.length, WAIT).toBeGreaterThanOrEqual(2)
  keeper.note(2)
  await expect.poll(() => tried.at(-1), WAIT).toBe(2)
  await expect.poll(() => tried.length, WAIT).toBeGreaterThanOrEqual(4)
  expect(told).toEqual(['Error: 1 fails'])
  keeper.stop()
})
