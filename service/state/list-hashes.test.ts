import { expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { NOT_GOOD } from './fields.ts'
import { forgetHashes, hashAt, NO_HASHES, noteHashes, placeForHashes, placeOfHashes, writeHash } from './list-hashes.ts'
import { scanAny, scanDomain, scanSolid } from './text-scans.ts'

function note(list: readonly string[]): void {
  const place = placeForHashes(list)
  for (const [i, text] of list.entries()) writeHash(place, i, scanAny(text))
  noteHashes(place, list)
}

test('hashes are those of the list itself, until the next record', () => {
  forgetHashes()
  const lists = [['a', 'b'], [], ['b', 'c', 'd']]
  for (const list of lists) note(list)
  for (const list of lists)
    for (const [i, text] of list.entries()) expect(hashAt(placeOfHashes(list), i)).toBe(scanAny(text))
  expect(placeOfHashes(['a', 'b'])).toBe(NO_HASHES)
  // A list that was begun and found bad.
  writeHash(placeForHashes(['x']), 0, 1)
  note(['y'])
  expect(hashAt(placeOfHashes(lists[2] ?? []), 2)).toBe(scanAny('d'))
  forgetHashes()
  expect(placeOfHashes(lists[0] ?? [])).toBe(NO_HASHES)
})

test('of more lists or texts than there is room for nothing is noted', () => {
  forgetHashes()
  const many = Array.from({ length: 70_000 }, (_, i) => `t${i}`)
  note(many)
  expect(placeOfHashes(many)).toBe(NO_HASHES)
  const lists = Array.from({ length: 70 }, (_, i) => [`l${i}`])
  for (const list of lists) note(list)
  const noted = lists.filter(list => placeOfHashes(list) !== NO_HASHES)
  expect(noted).toEqual(lists.slice(0, 64))
  for (const list of noted) expect(hashAt(placeOfHashes(list), 0)).toBe(scanAny(list[0] ?? ''))
  forgetHashes()
})

test.each([
  ['scanDomain', scanDomain],
  ['scanSolid', scanSolid],
])('%s gives a good text the hash of scanAny, by which texts are found (seed 5)', (_, scan) => {
  const random = new Random(5)
  let good = 0
  for (let i = 0; i < 20_000; i++) {
    const text = Array.from({ length: random.between(1, 12) }, () => random.pick([...'abz09-.é Ω'])).join('')
    const hash = scan(text)
    if (hash !== NOT_GOOD) good++
    expect([NOT_GOOD, scanAny(text)]).toContain(hash)
  }
  expect(good).toBeGreaterThan(300)
})
