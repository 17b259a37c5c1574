import { describe, expect, test } from 'vitest'
import { Random } from '../foundation/random.ts'
import { ArenaWriter, type Column } from './arena.ts'
import { findText, TEXT_COLUMNS, TextTableBuilder } from './text-table.ts'

const SEED = Number(process.env.SEED ?? 20_261_121)

/** The table in the arena, as the bid threads read it. */
function written(builder: TextTableBuilder) {
  const writer = new ArenaWriter(new SharedArrayBuffer(8 * 1_024 * 1_024))
  const table = {
    textSlots: writer.column(TEXT_COLUMNS.textSlots, builder.slotWords()).view,
    textChars: writer.column(TEXT_COLUMNS.textChars, builder.charCount).view as Column<'u16'>,
  }
  builder.write(table)
  return table
}

function anyText(random: Random): string {
  if (random.chance(0.05)) return ''
  if (random.chance(0.1)) return 'x'.repeat(random.between(1, 500))
  const units = random.chance(0.5) ? [97, 98, 0x30] : [0, 0xd800, 0xffff, 97, 0xe9]
  return Array.from({ length: random.between(1, 6) }, () => String.fromCharCode(random.pick(units))).join('')
}

describe('a text table', () => {
  test('finds what a Map finds, and nothing else', () => {
    for (let round = 0; round < 60; round++) {
      const random = new Random(SEED + round)
      const builder = new TextTableBuilder()
      const known = new Map<string, number>()
      for (let left = random.between(0, 1_500); left > 0; left--) {
        const [space, text] = [random.between(0, 13), anyText(random)]
        const key = `${space}:${text}`
        const number = builder.add(space, text)
        const context = `SEED=${SEED} round=${round} ${JSON.stringify(key)}`
        expect(number, context).toBe(known.get(key) ?? known.size)
        known.set(key, number)
      }
      const table = written(builder)
      for (const [key, number] of known) {
        const at = key.indexOf(':')
        expect(findText(table, Number(key.slice(0, at)), key.slice(at + 1)), `SEED=${SEED} round=${round}`).toBe(number)
      }
      for (let ask = 0; ask < 300; ask++) {
        const [space, text] = [random.between(0, 20), anyText(random)]
        const context = `SEED=${SEED} round=${round} ${space}:${JSON.stringify(text)}`
        expect(findText(table, space, text), context).toBe(known.get(`${space}:${text}`) ?? -1)
      }
    }
  })

  test('keeps spaces apart', () => {
    const builder = new TextTableBuilder()
    const numbers = Array.from({ length: 14 }, (_, space) => builder.add(space, 'same'))
    expect(new Set(numbers).size).toBe(14)
    const table = written(builder)
    expect(numbers.map((_, space) => findText(table, space, 'same'))).toEqual(numbers)
    expect(findText(table, 14, 'same')).toBe(-1)
  })

  test('without any text answers too', () => {
    expect(findText(written(new TextTableBuilder()), 0, 'x')).toBe(-1)
  })

  test('is at most two thirds full, so that every search ends', () => {
    for (const count of [1, 4, 5, 1_000, 5_000]) {
      const builder = new TextTableBuilder()
      for (let i = 0; i < count; i++) builder.add(1, `t${i}`)
      const { textSlots } = written(builder)
      expect(Math.log2(textSlots.length) % 1).toBe(0)
      const numbers = textSlots.filter((_, at) => at % 4 === 1)
      expect(numbers.filter(number => number !== 0).length).toBe(count)
      expect(numbers.length).toBeGreaterThanOrEqual(1.5 * count)
    }
  })
})
