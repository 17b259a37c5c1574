import { spawnSync } from 'node:child_process'

/** A program that tests need and npm cannot bring. */
export interface NeededProgram {
  readonly command: string
  /** With them it ends at once and well. */
  readonly args: readonly string[]
  /** Its package in Debian and Ubuntu, and in Homebrew. */
  readonly packages: { readonly debian: string; readonly homebrew: string }
}

const found = new Set<string>()

/**
 * Installs a program where that is possible (root on Debian or Ubuntu); never skips. Waits for it.
 * @throws Error with the remedy when it is not there and cannot be had
 */
export function ensureProgram({ command, args, packages }: NeededProgram): void {
  if (found.has(command) || runs(command, args)) {
    found.add(command)
    return
  }
  if (process.getuid?.() === 0 && runs('apt-get', ['--version'])) {
    runs('apt-get', ['update', '-qq'])
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    // The package may start a service on its own port; tests neither use nor disturb it.
    const install = ['install', '-y', '-qq', '--no-install-recommends', packages.debian]
    spawnSync('apt-get', install, { env, stdio: 'ignore' })
    if (runs(command, args)) {
      found.add(command)
      return
    }
  }
  throw new Error(
    `These tests use the real ${command}, and it is not on the PATH. Install it: ` +
      `\`sudo apt-get install ${packages.debian}\` (Debian, Ubuntu), \`brew install ${packages.homebrew}\` (macOS), ` +
      `\`sudo dnf install ${packages.homebrew}\` (Fedora); then run again.`,
  )
}

function runs(command: string, args: readonly string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0
}
