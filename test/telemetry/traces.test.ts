import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Random } from '../../service/foundation/random.ts'
import { createRecorderBlock, Recorder } from '../../service/telemetry/recorder.ts'
import { RequestTracer, type TraceMessage } from '../../service/telemetry/request-tracer.ts'
import { COUNTER, HISTOGRAM } from '../../service/telemetry/signals.ts'
import { traceParentOf } from '../../service/telemetry/trace-parent.ts'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { type Receiver, startReceiver } from './receiver.ts'

const TENANT = 'acme-outdoor'
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff)

interface Attribute {
  readonly key: string
  readonly value: { readonly stringValue?: string; readonly intValue?: number }
}
interface Span {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly kind: number
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly attributes: readonly Attribute[]
}
interface TraceBody {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}

const valuesOf = (attributes: readonly Attribute[]) =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue]))

describe('the header of a trace', () => {
  test.each([
    [['traceparent', `00-${TRACE}-${SPAN}-01`], { traceId: TRACE, spanId: SPAN }],
    [['TraceParent', `cc-${TRACE}-${SPAN}-00-what-comes`], { traceId: TRACE, spanId: SPAN }],
    [['traceparent', `00-${TRACE}-${SPAN}-01-more`], undefined],
    [['traceparent', `ff-${TRACE}-${SPAN}-01`], undefined],
    [['traceparent', `00-${'0'.repeat(32)}-${SPAN}-01`], undefined],
    [['traceparent', `00-${TRACE}-${'0'.repeat(16)}-01`], undefined],
    [['traceparent', `00-${TRACE.toUpperCase()}-${SPAN}-01`], undefined],
    [['traceparent', `00-${TRACE}-${SPAN}-01`, 'traceparent', `00-${TRACE}-${SPAN}-01`], undefined],
    [['traceparent', 'x'.repeat(100_000)], undefined],
    [['x-other', `00-${TRACE}-${SPAN}-01`], undefined],
    [
      ['X-Amzn-Trace-Id', 'Root=1-67891233-abcdef012345678912345678'],
      { traceId: '67891233abcdef012345678912345678', spanId: undefined },
    ],
    [
      [
        'X-Amzn-Trace-Id',
        'Self=1-67891234-12456789abcdef012345678a;Root=1-67891233-abcdef012345678912345678;Sampled=0',
      ],
      { traceId: '67891233abcdef012345678912345678', spanId: undefined },
    ],
    [
      ['x-amzn-trace-id', `Root=1-67891233-ABCDEF012345678912345678;Parent=${SPAN};Sampled=1`],
      { traceId: '67891233abcdef012345678912345678', spanId: SPAN },
    ],
    [['x-amzn-trace-id', 'Root=1-nothex-abc;Parent=x'], undefined],
    [
      ['x-amzn-trace-id', 'Root=1-67891233-abcdef012345678912345678', 'traceparent', `00-${TRACE}-${SPAN}-01`],
      { traceId: TRACE, spanId: SPAN },
    ],
    [['dangling'], undefined],
    [[], undefined],
  ])('%j', (headers, parent) => expect(traceParentOf(headers as string[])).toEqual(parent))
})

describe(`a tracer (seed ${seed})`, () => {
  const request = { startedMs: 1, wholeMs: 2, exchange: 'adx', status: 204, rawHeaders: [] }

  function tracer(ratio: number, nowMs: () => number) {
    const random = new Random(seed)
    const posted: TraceMessage[] = []
    const recorder = new Recorder(createRecorderBlock())
    const post = (message: TraceMessage) => void posted.push(message)
    return { recorder, posted, it: new RequestTracer({ ratio, recorder, post, nowMs, unit: () => random.unit() }) }
  }

  test('takes its share by chance', () => {
    let nowMs = 0
    const { it, posted } = tracer(0.01, () => nowMs)
    for (let i = 0; i < 100_000; i++) {
      nowMs += 20
      if (it.begins()) it.end(request)
    }
    // Six standard deviations of 1,000 ± 31.5.
    expect(Math.abs(posted.length - 1_000)).toBeLessThan(190)
  })

  test('takes ten a second at most', () => {
    let nowMs = 0
    const { it, posted } = tracer(1, () => nowMs)
    for (let i = 0; i < 3_000; i++) {
      nowMs += 1
      if (it.begins()) it.end(request)
    }
    expect(posted.length).toBeLessThanOrEqual(40)
    expect(posted.length).toBeGreaterThanOrEqual(30)
  })

  test('tells the stages and counts of its request and of no other', () => {
    const { it, posted, recorder } = tracer(1, () => 0)
    recorder.count(COUNTER.bids)
    recorder.since(HISTOGRAM.readTime, recorder.mark())
    expect(it.begins()).toBe(true)
    recorder.count(COUNTER.noBids + 1)
    recorder.since(HISTOGRAM.decideTime, recorder.mark())
    it.end(request)
    recorder.since(HISTOGRAM.sendTime, recorder.mark())
    expect(posted[0]?.stages.map(({ histogram }) => histogram)).toEqual([HISTOGRAM.bodyTime, HISTOGRAM.decideTime])
    expect(Object.values(posted[0]?.counted ?? {})).toEqual([1])
    expect(Object.keys(posted[0]?.counted ?? {})[0]).toMatch(/^no_bids\./)
    expect(() => structuredClone(posted)).not.toThrow()
  })
})

describe('a service with an endpoint for traces', () => {
  const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
  const TASK_ARN = 'arn:aws:ecs:eu-west-1:123456789012:task/acme/0123abcd'
  let receiver: Receiver
  let run: ServiceRun
  let scratch: string

  beforeAll(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'bidcell-traces-'))
    receiver = await startReceiver()
    receiver.answers.set('/v4/x', { ContainerARN: 'arn:aws:ecs:eu-west-1:123456789012:container/acme/9' })
    receiver.answers.set('/v4/x/task', {
      ...{ Cluster: 'arn:aws:ecs:eu-west-1:123456789012:cluster/acme', TaskARN: TASK_ARN, Family: 'bidcell-acme' },
      ...{ Revision: '7', AvailabilityZone: 'eu-west-1a', LaunchType: 'FARGATE', Limits: { Memory: 4_096 } },
    })
    run = await runService({
      ...{ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '1', DRAIN_S: '2', SPEND_URL: `file:${scratch}/spend` },
      ...{ NOTICE_KEYS: 'k1:at-least-thirty-two-letters-long', PUBLIC_URL: 'https://ads.example' },
      ...{ ECS_CONTAINER_METADATA_URI_V4: `${receiver.url}/v4/x` },
      ...{ OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
      ...{ OTEL_TRACES_SAMPLER: 'always_on', OTEL_BSP_SCHEDULE_DELAY: '100' },
    })
    await run.entry('exporter-started')
    await run.entry('ready')
  })
  afterAll(async () => {
    run?.kill('SIGKILL')
    await run?.ended
    receiver?.close()
    await rm(scratch, { recursive: true })
  })

  const traceBodies = () =>
    receiver.received.filter(({ path }) => path === '/v1/traces').map(({ body }) => body as unknown as TraceBody)
  const spans = () =>
    traceBodies().flatMap(({ resourceSpans }) => resourceSpans.flatMap(each => each.scopeSpans.flatMap(s => s.spans)))

  test('sends a span per request and one per stage, below what the headers say', async () => {
    const post = (headers: Record<string, string>, body = BODY) =>
      fetch(`http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`, { method: 'POST', body, headers })
    const { status } = await post({ 'content-type': 'application/json', traceparent: `00-${TRACE}-${SPAN}-00` })
    await post({ 'content-type': 'application/json', 'x-amzn-trace-id': 'Root=1-67891233-abcdef012345678912345678' })
    await post({ 'content-type': 'application/json' }, 'not JSON')
    await expect.poll(() => spans().filter(({ kind }) => kind === 2).length, { timeout: 15_000 }).toBe(3)
    const [joined, rooted, malformed] = spans().filter(({ kind }) => kind === 2) as [Span, Span, Span]
    expect(joined).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, name: 'POST /openrtb2/:exchange' })
    expect(rooted.traceId).toBe('67891233abcdef012345678912345678')
    expect(rooted.parentSpanId).toBeUndefined()
    expect(malformed.traceId).toMatch(/^(?!0{32})[0-9a-f]{32}$/)
    const about = valuesOf(joined.attributes)
    expect(about).toMatchObject({
      ...{ 'http.response.status_code': status, 'bidcell.exchange': 'adx', 'bidcell.bid_requests': 1 },
      'bidcell.impressions': 1,
    })
    expect(valuesOf(malformed.attributes)).toMatchObject({ 'http.response.status_code': 400 })

    await expect.poll(() => spans().filter(span => span.parentSpanId === joined.spanId).length).toBe(4)
    const stages = spans().filter(span => span.parentSpanId === joined.spanId)
    expect(stages.map(({ name }) => name)).toEqual(['body', 'read', 'decide', 'send'])
    let last = BigInt(joined.startTimeUnixNano)
    for (const { startTimeUnixNano, endTimeUnixNano, traceId } of stages) {
      expect(traceId).toBe(TRACE)
      expect(BigInt(startTimeUnixNano) >= last).toBe(true)
      last = BigInt(endTimeUnixNano)
    }
    expect(BigInt(joined.endTimeUnixNano) >= last).toBe(true)
    expect(Math.abs(Number(BigInt(joined.startTimeUnixNano) / 1_000_000n) - Date.now())).toBeLessThan(60_000)
  })

  test('sends a span per notice, refused ones included, and nothing of its token', async () => {
    const url = `http://127.0.0.1:${run.port}/${TENANT}`
    const headers = { 'content-type': 'application/json' }
    const answer = await fetch(`${url}/openrtb2/adx`, { method: 'POST', body: BODY, headers })
    const { seatbid } = (await answer.json()) as { seatbid: { bid: { burl: string; price: number }[] }[] }
    const { burl = '', price } = seatbid[0]?.bid[0] ?? {}
    const { pathname, search } = new URL(burl.replace(/\$\{AUCTION_PRICE\}/, String(price)))
    const traceparent = `00-${TRACE}-${SPAN}-01`
    const billed = await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`, { headers: { traceparent } })
    expect(billed.status).toBe(204)
    expect((await fetch(`${url}/notice/win/forged-token`)).status).toBe(400)
    const notices = () => spans().filter(({ name }) => name === 'GET /notice/:kind')
    await expect.poll(() => notices().length, { timeout: 15_000 }).toBe(2)
    const [billing, forged] = notices() as [Span, Span]
    expect(billing).toMatchObject({ traceId: TRACE, parentSpanId: SPAN, kind: 2 })
    expect(valuesOf(billing.attributes)).toMatchObject({
      ...{ 'http.request.method': 'GET', 'http.route': '/notice/:kind', 'http.response.status_code': 204 },
      ...{ 'bidcell.exchange': 'adx', 'bidcell.notices.billing': 1 },
    })
    expect(BigInt(billing.endTimeUnixNano) > BigInt(billing.startTimeUnixNano)).toBe(true)
    expect(valuesOf(forged.attributes)).toMatchObject({ 'http.response.status_code': 400 })
    expect(JSON.stringify(traceBodies())).not.toContain(pathname.slice(-20))
  })

  test('says who it is in the words of the conventions, and nothing of the request', async () => {
    const [first] = traceBodies()
    expect(valuesOf(first?.resourceSpans[0]?.resource.attributes ?? [])).toMatchObject({
      ...{ 'service.name': 'bidcell', 'tenant.id': TENANT, 'tenant.tier': 'standard', 'cloud.region': 'local' },
      ...{ 'cloud.provider': 'aws', 'cloud.platform': 'aws_ecs', 'cloud.account.id': '123456789012' },
      ...{ 'cloud.resource_id': TASK_ARN, 'cloud.availability_zone': 'eu-west-1a' },
      ...{ 'aws.ecs.task.arn': TASK_ARN, 'aws.ecs.task.id': '0123abcd', 'aws.ecs.task.family': 'bidcell-acme' },
      ...{ 'aws.ecs.task.revision': '7', 'aws.ecs.launchtype': 'fargate' },
      'aws.ecs.cluster.arn': 'arn:aws:ecs:eu-west-1:123456789012:cluster/acme',
      'aws.ecs.container.arn': 'arn:aws:ecs:eu-west-1:123456789012:container/acme/9',
    })
    expect(JSON.stringify(traceBodies())).not.toContain('news.example')
  })

  test('sends metrics to the same endpoint when it stops', async () => {
    run.kill('SIGTERM')
    expect(await run.ended).toBe(0)
    expect(receiver.received.map(({ path }) => path)).toContain('/v1/metrics')
    for (const line of run.lines) expect(JSON.parse(line)).toMatchObject({ tenant_id: TENANT, task_id: '0123abcd' })
  })
})
