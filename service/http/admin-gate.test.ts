import { describe, expect, test } from 'vitest'
import { AdminGate } from './admin-gate.ts'

const TOKEN = 't'.repeat(40)
const OTHER = 'o'.repeat(40)
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`

describe('a gate with tokens', () => {
  const gate = new AdminGate([
    { name: 'ops', token: TOKEN },
    { name: 'grafana', token: OTHER },
  ])
  test.each([
    [`Bearer ${TOKEN}`, 'ops'],
    [`bearer ${OTHER}`, 'grafana'],
    [basic(`anybody:${OTHER}`), 'grafana'],
    [basic(`:${TOKEN}`), 'ops'],
  ])('knows who has one: %s', (authorization, actor) => {
    expect(gate.pass({ authorization, host: 'admin.example' })).toEqual({ isAllowed: true, actor })
  })

  test.each([
    undefined,
    '',
    'Bearer ',
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.slice(1)}`,
    `Token ${TOKEN}`,
    basic(TOKEN.slice(1)),
    basic(`${TOKEN}:x`),
    `Bearer ${'x'.repeat(10_000)}`,
  ])('refuses everybody else: %s', authorization => {
    const headers = { host: '127.0.0.1:9090', ...(authorization === undefined ? {} : { authorization }) }
    expect(gate.pass(headers)).toMatchObject({ isAllowed: false, status: 401 })
  })
})

describe('a gate without tokens', () => {
  const gate = new AdminGate([])
  test.each([
    ['127.0.0.1:9090', true],
    ['[::1]:9090', true],
    ['localhost:9090', true],
    ['localhost', true],
    ['rebound.example:9090', false],
    ['127.0.0.1.rebound.example', false],
    ['', false],
  ])('takes names of this machine only: %j %s', (host, isAllowed) => {
    expect(gate.pass({ host }).isAllowed).toBe(isAllowed)
  })
})
