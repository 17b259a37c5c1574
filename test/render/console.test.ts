import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runService, type ServiceRun } from '../wire/service-run.ts'
import { openChromium } from './chromium.ts'
import { screenshot } from './rig.ts'

const TENANT = 'acme-outdoor'
const STATE_URL = `file:${fileURLToPath(new URL(`../tenants/${TENANT}`, import.meta.url))}`
const BODY = '{"id":"r1","imp":[{"id":"1","banner":{"w":300,"h":250}}],"site":{"domain":"news.example"}}'

let scratch = ''
let run: ServiceRun
let browser: Browser
let page: Page
const errors: string[] = []

async function bid(): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const url = `http://127.0.0.1:${run.port}/${TENANT}/openrtb2/adx`
  const answer = await fetch(url, { method: 'POST', headers, body: BODY })
  // A machine that stands still sheds some.
  if (answer.status !== 200) return
  const { seatbid } = (await answer.json()) as { seatbid: { bid: { burl: string; price: number }[] }[] }
  const { burl = '', price } = seatbid[0]?.bid[0] ?? {}
  const { pathname, search } = new URL(burl.replace(/\$\{AUCTION_PRICE\}/, String(price)))
  await fetch(`http://127.0.0.1:${run.port}${pathname}${search}`)
}

/** How many dots of a chart are painted. */
function inkOf(canvas: string): Promise<number> {
  return page
    .locator(canvas)
    .first()
    .evaluate(each => {
      const { width, height } = each as HTMLCanvasElement
      const { data } = (each as HTMLCanvasElement).getContext('2d')?.getImageData(0, 0, width, height) ?? { data: [] }
      let painted = 0
      for (let at = 3; at < data.length; at += 4) if ((data[at] ?? 0) > 0) painted++
      return painted
    })
}

const tile = (name: string) => page.locator(`[data-tile="${name}"] b`)

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'bidcell-console-'))
  run = await runService({
    ...{ TENANT_ID: TENANT, STATE_URL, BID_THREADS: '1', SPEND_URL: `file:${scratch}/spend` },
    ...{ NOTICE_KEYS: 'k1:at-least-thirty-two-letters-long', PUBLIC_URL: 'https://ads.example' },
    // Said, and shown; what comes is sent by this test.
    SAMPLE_TRAFFIC: 'on',
  })
  await run.entry('ready')
  browser = await openChromium()
  page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  page.on('pageerror', error => errors.push(String(error)))
  page.on('console', message => message.type() === 'error' && errors.push(message.text()))
  await page.goto(`http://127.0.0.1:${run.adminPort}/console`)
})
afterAll(async () => {
  await browser.close()
  run.kill('SIGKILL')
  await rm(scratch, { recursive: true })
})

describe('the console in a browser', () => {
  test('says who and where, and that it is live', async () => {
    await expect.poll(() => page.locator('#link').textContent(), { timeout: 10_000 }).toBe('live')
    expect(await page.locator('#tenant').textContent()).toBe(TENANT)
    expect(await page.locator('#identity').textContent()).toContain('standard')
    expect(await tile('readiness').textContent()).toBe('ready')
    expect(await page.locator('#state').textContent()).toContain('files-')
    expect(await page.locator('#sample').isVisible()).toBe(true)
  })

  test('shows traffic as it comes, bids and bills by line item', async () => {
    const pumping = setInterval(() => void bid().catch(error => errors.push(String(error))), 50)
    await expect.poll(async () => Number(await tile('bids/s').textContent()), { timeout: 20_000 }).toBeGreaterThan(0)
    clearInterval(pumping)
    await expect
      .poll(async () => Number(await tile('booked since the start').textContent()), { timeout: 20_000 })
      .toBeGreaterThan(0)
    await page.locator('#sort').selectOption('billed')
    const first = page.locator('#line-items tr').first()
    await expect
      .poll(async () => Number(await first.locator('td').nth(9).textContent()), { timeout: 20_000 })
      .toBeGreaterThan(0)
  })

  test('plots what was spent beside the plan, and finds plans by keyboard', async () => {
    const plans = page.locator('#plans figure')
    await expect.poll(() => plans.count(), { timeout: 30_000 }).toBeGreaterThan(0)
    await expect.poll(() => inkOf('#plans figure canvas'), { timeout: 20_000 }).toBeGreaterThan(200)
    expect(await plans.first().locator('.standing').textContent()).toMatch(/spent .* of .*planned .*takes part/)
    await page.locator('body').press('p')
    await page.keyboard.type('no-such-line-item')
    await expect.poll(() => plans.count(), { timeout: 20_000 }).toBe(0)
    await page.locator('#plans-search').fill('')
    await expect.poll(() => plans.count(), { timeout: 20_000 }).toBeGreaterThan(0)
    await page.keyboard.press('Escape')
  })

  test('tells the values of an instant by the arrow keys', async () => {
    expect(await inkOf('#traffic canvas')).toBeGreaterThan(200)
    const caption = page.locator('#traffic figcaption')
    expect(await caption.textContent()).toBe('Traffic, per second')
    await page.locator('#traffic .chart').focus()
    await page.keyboard.press('ArrowLeft')
    await expect.poll(() => caption.textContent()).toMatch(/^Traffic, per second · \d\d:\d\d:\d\d$/)
    expect(await page.locator('#traffic .legend').textContent()).toMatch(/^requests [\d.]+bids [\d.]+$/)
    await page.keyboard.press('Escape')
    await expect.poll(() => caption.textContent()).toBe('Traffic, per second')
  })

  test('tells what happened, as it happens: log, notices and versions', async () => {
    await expect.poll(() => page.locator('#log').textContent(), { timeout: 10_000 }).toContain('sample-traffic')
    expect(await page.locator('#log').textContent()).not.toContain('admin-access')
    await expect.poll(() => page.locator('#notices').textContent(), { timeout: 20_000 }).toContain('billing')
    expect(await page.locator('#versions tbody').textContent()).toContain('serves')
    const newest = page.locator('#notices tbody tr').first()
    await newest.evaluate(row => row.setAttribute('data-seen', 'yes'))
    const isNew = async () => {
      await bid()
      return await newest.getAttribute('data-seen')
    }
    await expect.poll(isNew, { timeout: 20_000, interval: 500 }).toBe(null)
    await page.locator('body').press('l')
    expect(await page.evaluate(() => document.activeElement?.id)).toBe('log')
  })

  test('finds a line item by keyboard and says why it does not deliver', async () => {
    await page.locator('body').press('/')
    await page.keyboard.type('li-1104')
    await expect.poll(() => page.locator('#line-items tr').count(), { timeout: 10_000 }).toBe(1)
    await page.getByRole('button', { name: 'why li-1104' }).click()
    const verdict = page.locator('#verdict')
    await verdict.waitFor({ timeout: 30_000 })
    expect(await verdict.textContent()).toContain('does not bid: no-eligible-line-item')
    const compared = await page.locator('#answer tbody').textContent()
    expect(compared).toContain('country')
    expect(compared).toContain('wants one of CAN; request has USA')
    await page.screenshot({ path: screenshot('console'), fullPage: true })
  })

  test('lists recent requests by chance, and explains one', async () => {
    await page.locator('#of-line-item').fill('li-1104')
    await page.getByRole('button', { name: 'Find' }).click()
    await expect.poll(() => page.locator('#recent').textContent(), { timeout: 20_000 }).toBe('None yet.')
    await page.locator('#of-line-item').fill('')
    await page.getByRole('button', { name: 'Find' }).click()
    await expect.poll(() => page.locator('#recent tbody tr').count(), { timeout: 20_000 }).toBeGreaterThan(0)
    await page.getByRole('button', { name: 'explain r1' }).first().click()
    await expect.poll(() => page.locator('#answer').textContent(), { timeout: 30_000 }).toContain('do not bid')
    expect(await page.locator('#request').inputValue()).toContain('"news.example"')
  })

  test('explains a pasted request, and tells what is wrong with one', async () => {
    await page.locator('#line-item').fill('')
    await page.locator('#request').fill('{"id":')
    await page.getByRole('button', { name: /Explain/ }).click()
    await expect.poll(() => page.locator('#answer').textContent(), { timeout: 10_000 }).toContain('is not JSON')
    await page.locator('#request').fill(BODY)
    await page.keyboard.press('Control+Enter')
    await expect.poll(() => page.locator('#answer').textContent(), { timeout: 30_000 }).toContain('do not bid')
    expect(await page.locator('#answer h3').textContent()).toBe('Impression 1: bid')
    await page.locator('#dry-run summary').click()
    expect(await page.locator('#dry-run pre').textContent()).toContain('"seatbid"')
  })

  test('is readable in the dark, and nothing went wrong meanwhile', async () => {
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.screenshot({ path: screenshot('console-dark'), fullPage: true })
    expect(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)).toBe('rgb(15, 18, 22)')
    expect(errors).toEqual([])
  })
})
