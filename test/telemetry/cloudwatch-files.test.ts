import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { NO_BID_REASONS } from '../../service/decision/reasons.ts'
import { LIMITS } from '../../service/limits.ts'
import { type CloudMetric, cloudMetrics } from '../../service/telemetry/cloud-metrics.ts'
import { DIMENSIONS, emfLines, NAMESPACE } from '../../service/telemetry/emf.ts'
import { LINE_KEYS, LOG_FIELDS } from '../../service/telemetry/log-fields.ts'
import { COUNTERS, cloudName } from '../../service/telemetry/signals.ts'
import { busySnapshot, identity, type Json } from './sink-readers.ts'

const seed = Number(process.env.SEED ?? Date.now() & 0x7fffffff)
const read = (name: string): Json =>
  JSON.parse(readFileSync(new URL(`../../docker/cloudwatch/${name}`, import.meta.url), 'utf8'))

/** What a busy task really sends: the names, the units, and which are distributions. */
const taken = busySnapshot(seed)
const sent = cloudMetrics(taken, LIMITS.embeddedValuesMax)
const metrics: ReadonlyMap<string, CloudMetric> = new Map(sent.map(metric => [metric.name, metric]))
const lines = emfLines(sent, { identity, takenAtMs: taken.takenAtMs })

/** Metrics of others that we rely on, with their dimensions, as AWS documents them. */
const TARGET = ['LoadBalancer', 'TargetGroup']
const FOREIGN: Readonly<Record<string, readonly string[]>> = {
  'AWS/ApplicationELB TargetResponseTime': TARGET,
  'AWS/ApplicationELB HTTPCode_Target_5XX_Count': TARGET,
  'AWS/ApplicationELB RequestCount': TARGET,
  'AWS/ApplicationELB UnHealthyHostCount': TARGET,
  'AWS/ApplicationELB ActiveConnectionCount': ['LoadBalancer'],
  'AWS/ApplicationELB RejectedConnectionCount': ['LoadBalancer'],
  'AWS/ApplicationELB HTTPCode_ELB_5XX_Count': ['LoadBalancer'],
  'AWS/ApplicationELB PeakLCUs': ['LoadBalancer'],
  'AWS/ApplicationELB ReservedLCUs': ['LoadBalancer'],
  'AWS/ECS CPUReservation': ['ClusterName'],
  'AWS/ECS MemoryReservation': ['ClusterName'],
}

/** One use of a metric. */
interface Use {
  readonly namespace: string
  readonly name: string
  readonly dimensions: readonly string[]
  readonly stat: string
}

const STATS = /^(Sum|Minimum|Maximum|Average|SampleCount|p\d{1,2}(\.\d+)?)$/

/** Fails unless the metric is sent like this, and the statistic says something of it. */
function expectSent({ namespace, name, dimensions, stat }: Use): void {
  expect(stat, name).toMatch(STATS)
  if (namespace !== NAMESPACE) {
    expect(FOREIGN[`${namespace} ${name}`], `${namespace} ${name}`).toEqual([...dimensions].sort())
    return
  }
  const metric = metrics.get(name)
  expect(metric, `${name} is not sent`).toBeDefined()
  expect([...dimensions].sort(), name).toEqual([...DIMENSIONS].sort())
  if (stat.startsWith('p')) expect(metric?.data, `${name} is no distribution`).toBeTypeOf('object')
}

interface Resource {
  readonly Type: string
  readonly Properties: Json
}
interface MetricStat {
  readonly Metric: { Namespace: string; MetricName: string; Dimensions: { Name: string }[] }
  readonly Period: number
  readonly Stat: string
}
interface Query {
  readonly Id: string
  readonly ReturnData: boolean
  readonly Period?: number
  readonly Expression?: string | { readonly 'Fn::Sub': string }
  readonly MetricStat?: MetricStat
}

const templates = ['tenant.json', 'tier.json'].map(name => [name, read(name)] as const)
const resourcesOf = (template: Json) => Object.entries(template.Resources as Record<string, Resource>)
const alarms = templates.flatMap(([, template]) =>
  resourcesOf(template).filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm'),
)
const queries = templates.flatMap(([, template]) =>
  resourcesOf(template).filter(([, { Type }]) => Type === 'AWS::Logs::QueryDefinition'),
)

const namesOf = (dimensions: unknown) => (dimensions as { Name: string }[]).map(({ Name }) => Name)
const expressionOf = ({ Expression: given }: Query) => (typeof given === 'object' ? given['Fn::Sub'] : given)

/** Every metric that an alarm looks at. */
function usesOf(properties: Json): readonly Use[] {
  const stats = ((properties.Metrics ?? []) as Query[]).flatMap(({ MetricStat: each }) =>
    each === undefined
      ? []
      : [{ ...named(each.Metric.Namespace, each.Metric.MetricName, each.Metric.Dimensions), stat: each.Stat }],
  )
  if (properties.MetricName === undefined) return stats
  const stat = String(properties.Statistic ?? properties.ExtendedStatistic)
  return [...stats, { ...named(properties.Namespace, properties.MetricName, properties.Dimensions), stat }]
}

function named(namespace: unknown, name: unknown, dimensions: unknown) {
  return { namespace: String(namespace), name: String(name), dimensions: namesOf(dimensions) }
}

describe('the templates', () => {
  test.each(templates)('%s refer only to their own parameters, and use each', (_, template) => {
    const parameters = Object.keys(template.Parameters as Json)
    const text = JSON.stringify([template.Resources, template.Conditions ?? {}])
    const used = [
      ...[...text.matchAll(/\{"Ref":"([\w:]+)"\}/g)].map(([, name]) => name as string),
      ...[...text.matchAll(/\$\{(\w+)\}/g)].map(([, name]) => name as string),
    ]
    expect(new Set(used.filter(name => !name.startsWith('AWS::')))).toEqual(new Set(parameters))
  })
})

describe('alarms', () => {
  test.each(alarms)('%s look at what is sent, and say what is wrong', (_, { Properties: properties }) => {
    const uses = usesOf(properties)
    for (const use of uses) expectSent(use)
    expect(String(properties.AlarmDescription).length).toBeGreaterThan(30)
    expect(properties.TreatMissingData).toMatch(/^(breaching|notBreaching)$/)
    expect(Number(properties.DatapointsToAlarm)).toBeLessThanOrEqual(Number(properties.EvaluationPeriods))
    expect(properties.AlarmActions).toEqual([{ Ref: 'AlarmTopic' }])
    const list = (properties.Metrics ?? []) as Query[]
    const insights = list.flatMap(
      query => expressionOf(query)?.match(/^SELECT (\w+)\((\w+)\) FROM SCHEMA\(([^)]*)\)/) ?? [],
    )
    if (insights.length > 0) {
      const [, , name, schema] = insights as string[]
      const [namespace, ...dimensions] = (schema as string).split(', ').map(part => part.replaceAll('"', ''))
      expectSent({ namespace: namespace as string, name: name as string, dimensions, stat: 'Sum' })
    } else expect(uses.length).toBeGreaterThan(0)
    // One period for all, as metric math alarms must have; one result.
    for (const { MetricStat: each } of list) if (each !== undefined) expect(each.Period).toBe(60)
    if (list.length > 0 && properties.ThresholdMetricId === undefined)
      expect(list.filter(({ ReturnData }) => ReturnData)).toHaveLength(1)
    const ids = list.map(({ Id }) => Id)
    for (const query of list) {
      const words = query.MetricStat === undefined && insights.length === 0 ? expressionOf(query) : undefined
      for (const [word] of words?.matchAll(/\b[a-z]\w*\b/g) ?? []) expect(ids).toContain(word)
    }
  })

  test('stand at the two lines of memory, at twice the baseline for 5 minutes, and at every reason that alarms', () => {
    const byName = new Map(alarms.map(([name, { Properties: properties }]) => [name, properties]))
    expect(byName.get('MemoryWarn')).toMatchObject({ Threshold: 70, Statistic: 'Maximum' })
    expect(byName.get('MemoryCritical')).toMatchObject({ Threshold: 85, Statistic: 'Maximum' })
    expect(byName.get('ResponseTime')).toMatchObject({ Threshold: 2, EvaluationPeriods: 5, DatapointsToAlarm: 5 })
    const watched = alarms.flatMap(([, { Properties: properties }]) => usesOf(properties)).map(({ name }) => name)
    for (const [reason, { alarm }] of Object.entries(NO_BID_REASONS))
      if (alarm) expect(watched).toContain(cloudName(COUNTERS.noBids, reason))
  })
})

/** Fields of a line as Logs Insights finds them: the first 200, nested ones by their path. */
function discovered(line: string): readonly string[] {
  const names: string[] = []
  const walk = (value: unknown, path: string) => {
    if (typeof value !== 'object' || value === null) names.push(path)
    else for (const [key, inner] of Object.entries(value)) walk(inner, path === '' ? key : `${path}.${key}`)
  }
  walk(JSON.parse(line), '')
  return names.slice(0, 200)
}

const WORDS = new Set([
  ...['fields', 'filter', 'sort', 'desc', 'asc', 'limit', 'stats', 'by', 'as', 'in', 'and', 'or', 'not', 'bin', 'm'],
  ...['sum', 'max', 'min', 'avg', 'count', 'coalesce', 'ispresent', 'SOURCE', 'timestamp'],
])

/** Names in a query that are neither words of its language, nor named by itself, nor text. */
function fieldsOf(query: string): readonly string[] {
  const plain = query.replace(/"[^"]*"|'[^']*'/g, '')
  const aliases = new Set([...plain.matchAll(/ as (\w+)/g)].map(([, name]) => name))
  const names = [...plain.matchAll(/@?[A-Za-z_][\w.]*/g)].map(([name]) => name)
  return names.filter(name => !name.startsWith('@') && !WORDS.has(name) && !aliases.has(name))
}

const dashboard = read('dashboard.json') as {
  readonly widgets: readonly {
    readonly type: string
    readonly x: number
    readonly y: number
    readonly width: number
    readonly height: number
    readonly properties: Json
  }[]
}
const logQueries = [
  ...queries.map(([name, { Properties: properties }]) => [name, String(properties.QueryString)] as const),
  ...dashboard.widgets.flatMap(({ type, properties }) =>
    type === 'log' ? [[`the dashboard's ${properties.title}`, String(properties.query)] as const] : [],
  ),
]

describe(`queries (seed ${seed})`, () => {
  test.each(logQueries)('%s ask for fields that lines have, and that Logs Insights finds', (_, query) => {
    const inMetrics = new Set(lines.flatMap(discovered))
    const fields = fieldsOf(query)
    expect(fields.length).toBeGreaterThan(2)
    for (const field of fields) {
      const isLogField = Object.hasOwn(LINE_KEYS, field) || Object.hasOwn(LOG_FIELDS, field)
      expect(isLogField || inMetrics.has(field), field).toBe(true)
    }
  })

  test('are there for one tenant, the error rate across tenants, and the slowest tenants', () => {
    const names = queries.map(([, { Properties: properties }]) => JSON.stringify(properties.Name))
    for (const each of ['one tenant', 'error rate across tenants', 'slowest tenants'])
      expect(names.some(name => name.includes(`/${each}"`))).toBe(true)
  })
})

describe('the dashboard', () => {
  const widgets = dashboard.widgets.filter(({ type }) => type === 'metric')

  test.each(widgets.map(({ properties }) => [properties.title, properties] as const))('%s', (_, properties) => {
    for (const row of properties.metrics as (string | Json)[][]) {
      const options = row.at(-1) as Json
      const [namespace, name, ...pairs] = row.slice(0, -1) as string[]
      const dimensions = pairs.filter((_, index) => index % 2 === 0)
      const stat = String(options.stat ?? properties.stat)
      expectSent({ namespace: namespace as string, name: name as string, dimensions, stat })
      const values = pairs.filter((_, index) => index % 2 === 1)
      for (const value of values) expect(value).toMatch(/^(TENANT|TIER|REGION|LOAD_BALANCER|TARGET_GROUP)$/)
    }
  })

  test('fits its grid', () => {
    for (const [index, { x, y, width, height }] of dashboard.widgets.entries()) {
      expect(x + width).toBeLessThanOrEqual(24)
      const overlaps = dashboard.widgets
        .slice(index + 1)
        .some(b => b.x < x + width && x < b.x + b.width && b.y < y + height && y < b.y + b.height)
      expect(overlaps).toBe(false)
    }
  })

  test('shows every kind of signal that an incident starts with', () => {
    const shown = JSON.stringify(dashboard)
    for (const name of ['MemoryUsed', 'RequestTime', 'StateAge', 'Spend', 'LoopUtilization', 'Leases', 'GcPauseMax'])
      expect(shown).toContain(`"${name}"`)
  })
})

test('the runbook says of each alarm what to do, and of no other', () => {
  const runbook = readFileSync(new URL('../../RUNBOOK.md', import.meta.url), 'utf8')
  const [, rows = ''] = /## Alarms\n([\s\S]*?)\n## /.exec(runbook) ?? []
  const told = [...rows.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name),
  )
  const alarms = ['tenant.json', 'tier.json'].flatMap(name => [
    ...JSON.stringify(read(name)).matchAll(/"bidcell-\$\{\w+\}-([a-z-]+)"/g),
  ])
  expect(told.sort()).toEqual(alarms.map(([, name]) => name).sort())
})
