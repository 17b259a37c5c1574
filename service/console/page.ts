/** The console's page: live numbers, line items, and why. */

import type { TailNews } from '../event-tail.ts'
import type { LiveSecond } from '../telemetry/live-seconds.ts'
import { byId } from './element.ts'
import { EventsView } from './events-view.ts'
import { ExplainView } from './explain-view.ts'
import { LineItemsView } from './line-items-view.ts'
import { type LiveNow, LiveView } from './live-view.ts'
import { PacingView } from './pacing-view.ts'
import { RecentView } from './recent-view.ts'

const live = new LiveView()
const explain = new ExplainView()
const events = new EventsView()
new PacingView()
new LineItemsView(lineItemId => explain.why(lineItemId))
new RecentView((request, exchange) => explain.explain(request, exchange))

const link = byId('link')
const say = (text: string, isLive: boolean) => {
  link.textContent = text
  link.classList.toggle('live', isLive)
}

// The browser connects again by itself.
const feed = new EventSource('/console/live')
feed.addEventListener('error', () => say('no connection; trying again', false))
feed.addEventListener('history', ({ data }) => {
  const { seconds, now, tail } = JSON.parse(data) as { seconds: readonly LiveSecond[]; now: LiveNow; tail: TailNews }
  live.start(seconds, now)
  events.start(tail)
  say('live', true)
})
feed.addEventListener('second', ({ data }) => {
  const { second, now, tail } = JSON.parse(data) as { second: LiveSecond; now: LiveNow; tail: TailNews }
  live.add(second, now)
  events.add(tail)
})

const KEYS: Readonly<Record<string, string>> = { '/': 'search', p: 'plans-search', l: 'log', e: 'request' }

document.addEventListener('keydown', event => {
  const isTyping = event.target instanceof Element && event.target.closest('input, textarea, select') !== null
  if (event.key === 'Escape' && isTyping) (event.target as HTMLElement).blur()
  const id = KEYS[event.key]
  if (id === undefined || isTyping || event.ctrlKey || event.metaKey || event.altKey) return
  event.preventDefault()
  byId(id).focus()
})
