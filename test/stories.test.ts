import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { brokenRules } from '../loadtest/acceptance.ts'
import { schemaFaults } from '../loadtest/schema-judge.ts'
import { coverageProblems, type Field, mustHonour, oddValue } from './stories/coverage.ts'
import { type Played, type Scene, Stage, sceneOf } from './stories/stage.ts'
import {
  ABSENT,
  type Changes,
  changed,
  type Outcome,
  type Pair,
  type Refusal,
  readGround,
  readStories,
  valueAt,
} from './stories/story.ts'

const files = readStories()
const stage = new Stage()
beforeAll(() => stage.open())
afterAll(() => stage.close())

/** Of a found value what the story tells of it, so that the difference shows these fields and no others. */
function toldOf(found: unknown, told: Changes): Changes {
  return Object.fromEntries(
    Object.entries(told).map(([place, value]) => {
      const there = valueAt(found, place)
      const part = typeof value === 'string' && value.startsWith(CONTAINS) ? value.slice(CONTAINS.length) : undefined
      const isThere = part !== undefined && typeof there === 'string' && there.includes(part)
      return [place, isThere ? value : there]
    }),
  )
}

const CONTAINS = '(contains) '

interface Response {
  readonly seatbid?: readonly { readonly bid: readonly object[] }[]
}

/** What came back, in the words and as far as the story tells it. */
function outcomeOf(played: Played, told: Outcome): Outcome {
  const answer = (played.bodyText === '' ? {} : JSON.parse(played.bodyText)) as Response
  const bids = (answer.seatbid ?? []).flatMap(({ bid }) => bid)
  return {
    status: played.status,
    bids: bids.map((bid, i) => toldOf(bid, told.bids?.[i] ?? { impid: '', crid: '' })),
    'no-bid': played.noBids,
    ...(told.answer === undefined ? {} : { answer: toldOf(answer, told.answer) }),
    ...(told.answerHeaders === undefined ? {} : { answerHeaders: headersOf(played, told.answerHeaders) }),
  }
}

function headersOf(played: Played, told: NonNullable<Outcome['answerHeaders']>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.keys(told).map(name => [name, String(played.headers[name] ?? ABSENT)]))
}

/** What the story tells, with what goes without saying. */
function expectedOf({ status, bids = [], 'no-bid': noBids = [], answer, answerHeaders }: Outcome): Outcome {
  return {
    status: status ?? (bids.length > 0 ? 200 : 204),
    bids,
    'no-bid': [...noBids].sort(),
    ...(answer === undefined ? {} : { answer }),
    ...(answerHeaders === undefined ? {} : { answerHeaders }),
  }
}

const NONE: Refusal = { rules: [], schema: [] }

/** What the two judges find wrong with an answer. */
function refusalOf(
  { bodyText, documents, exchange }: Scene,
  played: Pick<Played, 'status' | 'headers' | 'bodyText'>,
): Refusal {
  // Another status refuses the call, not the bid request: only the story says whether it is right.
  if (![200, 204, 400].includes(played.status)) return NONE
  const headers = played.headers as Readonly<Record<string, string | undefined>>
  const answer = { status: played.status, headers, bodyText: played.bodyText }
  const request = parsed(bodyText)
  const { currency = 'USD', markup } = documents.exchanges.find(({ id }) => id === exchange) ?? {}
  const agreed = { rates: documents.rates.rates, currency, markup }
  const faults = played.status === 200 ? schemaFaults(request, played.bodyText, agreed) : []
  return {
    rules: brokenRules(request, answer, agreed).map(({ rule }) => rule),
    schema: [...new Set(faults.map(fault => fault.slice(0, fault.indexOf(':'))))],
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

async function play(given: readonly Parameters<typeof sceneOf>[1][number][], request: unknown, told: Outcome) {
  const scene = sceneOf(request, given)
  const played = await stage.play(scene)
  expect(outcomeOf(played, told)).toEqual(expectedOf(told))
  expect(played.alarms).toEqual([])
  expect(refusalOf(scene, played)).toEqual(NONE)
  if (told.spoilt === undefined) return
  const bodyText = JSON.stringify(changed(JSON.parse(played.bodyText), told.spoilt))
  const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(bodyText)) }
  expect(refusalOf(scene, { status: 200, headers, bodyText })).toEqual(told.refusedBy)
}

describe.each(files)('$name: $about', ({ given, request, pairs }) => {
  const halves = (['honoured', 'violated'] as const).flatMap(half => pairs.map(pair => [half, pair] as const))
  test.each(halves.map(([half, pair]) => ({ half, pair, rule: pair.rule })))('$rule ($half)', ({ half, pair }) =>
    play([given, pairGiven(pair), pair[half]], request, pair[half]),
  )
})

function pairGiven({
  honoured: _honoured,
  violated: _violated,
  ...given
}: Pair): Parameters<typeof sceneOf>[1][number] {
  return given
}

/** An answer without the names of its bids, which are new each time and stand in the addresses of notices. */
async function answerTo(request: unknown): Promise<string> {
  const { status, bodyText, alarms } = await stage.play(sceneOf(request, []))
  expect(alarms).toEqual([])
  return `${status} ${bodyText.replace(/"id":"story-\w+"|"[nbl]url":"[^"]+"/g, '')}`
}

describe('the must-honour list', () => {
  const fields = mustHonour()
  const ground = readGround('request')

  test('has a pair of stories for every rule, and none for what is not honoured yet', () => {
    expect(coverageProblems(fields, files)).toEqual([])
  })

  test('notices a rule without a pair, an exception with one, and a field that is not listed', () => {
    const field = { section: '', place: '', rule: '', why: '', example: undefined }
    const list: readonly Field[] = [
      { ...field, name: 'Imp.id', kind: 'shown' },
      { ...field, name: 'Imp.exp', kind: 'later' },
    ]
    const pair = { rule: '', fields: ['Imp.exp', 'Imp.new'], honoured: {}, violated: {} }
    const file = { name: 'a', about: '', given: {}, request: {}, pairs: [pair] }
    expect(coverageProblems(list, [file]).map(problem => problem.split(' ')[0])).toEqual([
      'Imp.id',
      'Imp.exp',
      'Imp.new',
    ])
  })

  const tells = fields.filter(({ kind }) => kind === 'tells')

  test.each(tells)('$name restricts no bid, whatever it holds', async ({ place, example }) => {
    const plain = await answerTo(ground)
    expect(plain).toMatch(/^200 .*"crid":"leaderboard".*"crid":"film".*"crid":"spot"/)
    for (const value of [example, oddValue(example), null, [], {}])
      expect(await answerTo(changed(ground, { [place]: value })), JSON.stringify(value)).toBe(plain)
  })
})
