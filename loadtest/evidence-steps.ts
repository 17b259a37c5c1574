/** What `npm run evidence` runs: each step is a command, and says what it is to show. */
import type { ScenarioName } from './scenarios.ts'

/** One command of the evidence. */
export interface EvidenceStep {
  readonly name: string
  /** What is claimed, in a sentence for somebody who does not know the code. */
  readonly claim: string
  /** A scenario with its options, shortened to a minute or some; or files of tests. */
  readonly run:
    | { readonly kind: 'scenario'; readonly scenario: ScenarioName; readonly args: readonly string[] }
    | { readonly kind: 'tests'; readonly args: readonly string[] }
  readonly needsContainers?: true
}

function scenario(name: ScenarioName, args: string): EvidenceStep['run'] {
  return { kind: 'scenario', scenario: name, args: args === '' ? [] : args.split(' ') }
}

/** In the order in which they run: what an auditor asks first comes first. */
export const EVIDENCE_STEPS: readonly EvidenceStep[] = [
  {
    name: 'access',
    claim: 'The cache lets a tenant’s users reach nothing of another tenant, and a path of another tenant is a 404.',
    run: {
      kind: 'tests',
      args: ['service/remote-cache/access.test.ts', 'test/wire/hostile-input.test.ts', 'test/wire/outbound.test.ts'],
    },
  },
  {
    name: 'containers',
    claim: 'In containers behind one proxy no tenant reads another’s keys, names, logs or network.',
    run: { kind: 'tests', args: ['--config', 'test/stack/vitest.config.ts'] },
    needsContainers: true,
  },
  {
    name: 'isolation',
    claim: 'A neighbour under overload, floods, huge snapshots and restarts does not move a tenant’s latency.',
    run: scenario('isolation', '--rounds 3 --duration 3'),
  },
  {
    name: 'memory',
    claim: 'A neighbour whose memory runs out is killed alone and comes back; others keep latency, answers and spend.',
    run: scenario('memory', '--rounds 2'),
    needsContainers: true,
  },
  {
    name: 'latency',
    claim: 'Answers come in time at half of capacity, also while the state changes.',
    run: scenario('latency', '--duration 6'),
  },
  {
    name: 'overload',
    claim: 'At many times its capacity the service goes on bidding in time, and recovers at once.',
    run: scenario('overload', '--duration 3'),
  },
  {
    name: 'faults',
    claim: 'While the cache hangs and dies and a task is killed, bids go on and money and caps stay right.',
    run: scenario('faults', '--duration 6'),
  },
  {
    name: 'coldstart',
    claim: 'A task with 100,000 line items is ready in seconds and serves at once.',
    run: scenario('coldstart', '--rounds 3'),
  },
  {
    name: 'soak',
    claim: 'Neither memory nor latency drift while the service runs on.',
    run: scenario('soak', '--duration 300'),
  },
  {
    name: 'sizing',
    claim: 'So many tasks of so many vCPUs and GiB are needed for a wished rate.',
    run: scenario('sizing', '--duration 5'),
  },
]
