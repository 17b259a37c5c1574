import { expect, test } from 'vitest'
import { LIMITS } from '../limits.ts'
import { AnswerBatch } from './answer-batch.ts'

/** A clock that stands still: on a busy machine the longest wait may pass between two lines of a test. */
let nowMs = 0
const clock = () => nowMs

test('answers of one turn are sent at its end, in their order', async () => {
  const sent: number[] = []
  const batch = new AnswerBatch<number>(answer => sent.push(answer), clock)
  batch.add(1)
  batch.add(2)
  expect(sent).toEqual([])
  await new Promise(setImmediate)
  expect(sent).toEqual([1, 2])
})

test('no more than the limit wait for each other', async () => {
  const sent: number[] = []
  const batch = new AnswerBatch<number>(answer => sent.push(answer), clock)
  const answers = Array.from({ length: LIMITS.answersWaitingMax + 1 }, (_, i) => i)
  for (const answer of answers) batch.add(answer)
  expect(sent).toEqual(answers.slice(0, -1))
  await new Promise(setImmediate)
  expect(sent).toEqual(answers)
})

test('the first waits no longer than it may', async () => {
  const sent: number[] = []
  const batch = new AnswerBatch<number>(answer => sent.push(answer), clock)
  batch.add(1)
  nowMs += LIMITS.answerWaitMsMax
  batch.add(2)
  expect(sent).toEqual([1, 2])
  batch.add(3)
  expect(sent, 'who comes after that waits for itself').toEqual([1, 2])
  await new Promise(setImmediate)
  expect(sent).toEqual([1, 2, 3])
})

test('an answer that is made while others are sent is sent after them, in its own turn', async () => {
  const sent: string[] = []
  const batch = new AnswerBatch<string>(answer => {
    sent.push(answer)
    if (answer === 'first') batch.add('later')
  }, clock)
  batch.add('first')
  batch.add('second')
  await new Promise(setImmediate)
  expect(sent).toEqual(['first', 'second'])
  await new Promise(setImmediate)
  expect(sent).toEqual(['first', 'second', 'later'])
})
