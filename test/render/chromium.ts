import { type ExecFileSyncOptions, execFileSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

/** Names under which systems install it; playwright-core brings no browser of its own. */
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'] as const
const MAC = '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'

/**
 * Starts Chromium without a window.
 * @param loopbackPort where every host name leads to, whatever it is; without it they lead where they do
 * @throws Error that says what to install, when there is no Chromium and it cannot be installed
 */
export async function openChromium(loopbackPort?: number): Promise<Browser> {
  return await chromium.launch({
    executablePath: installed() ?? install(),
    args: [
      ...(loopbackPort === undefined ? [] : [`--host-resolver-rules=MAP * 127.0.0.1:${loopbackPort}`]),
      '--no-proxy-server',
      '--autoplay-policy=no-user-gesture-required',
      '--mute-audio',
    ],
  })
}

function installed(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  const all = [...NAMES.flatMap(name => folders.map(folder => join(folder, name))), MAC]
  return all.find(path => {
    try {
      accessSync(path, constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Debian's own package, where we may. */
function install(): string {
  const remedy = `Install Chromium or Chrome so that one of ${NAMES.join(', ')} is on the PATH, then run it again.`
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Error(`Rendering tests need Chromium, and none was found. ${remedy}`)
  console.log('No Chromium was found: installing the package "chromium" with apt-get; this takes a minute.')
  const options: ExecFileSyncOptions = { stdio: ['ignore', 'ignore', 'inherit'] }
  try {
    execFileSync('apt-get', ['update', '-q'], options)
    const wanted = ['--no-install-recommends', 'chromium', 'fonts-liberation']
    execFileSync('apt-get', ['install', '-y', '-q', ...wanted], options)
  } catch (error) {
    throw new Error(`No Chromium was found, and apt-get did not install it (${String(error)}). ${remedy}`)
  }
  const path = installed()
  if (path === undefined) throw new Error(`apt-get installed Chromium, but it is not on the PATH. ${remedy}`)
  return path
}
