/** What commands share when they talk to a person: exit codes, colour and progress only on a terminal. */
import { styleText } from 'node:util'
import { SingleBar } from 'cli-progress'
import { Command, CommanderError } from 'commander'

/** Exit codes of the commands. */
export const EXIT = {
  good: 0,
  /** The command did its work and found something bad. */
  bad: 1,
  /** The command could not do its work: wrong arguments, or files that cannot be read. */
  usage: 2,
} as const

/** Something that stops a command; the message names the remedy. Printed without a stack. */
export class CommandProblem extends Error {
  override readonly name = 'CommandProblem'
  readonly exitCode: number

  constructor(message: string, exitCode: number = EXIT.usage) {
    super(message)
    this.exitCode = exitCode
  }
}

/** A commander command whose own errors (unknown option, missing argument) are thrown, for runCommand to judge. */
export function newCommand(name: string, about: string): Command {
  return new Command(name).description(about).showHelpAfterError('(--help shows how it is used)').exitOverride()
}

/**
 * Parses the arguments of this process, runs the command's action and sets the exit code. Never throws for what a
 * person can repair; other errors keep their stack.
 */
export async function runCommand(command: Command): Promise<void> {
  try {
    await command.parseAsync()
  } catch (error) {
    if (error instanceof CommanderError) {
      // Commander has printed its message, or the help that was asked for.
      process.exitCode = error.exitCode === 0 ? EXIT.good : EXIT.usage
    } else if (error instanceof CommandProblem) {
      console.error(bad(error.message))
      process.exitCode = error.exitCode
    } else throw error
  }
}

/** Red on a terminal that shows colour, as it is otherwise (NO_COLOR too). For stderr. */
export function bad(text: string): string {
  return styleText('red', text, { stream: process.stderr })
}

/** Styled for stdout, only where stdout is a terminal that shows colour. */
export function styled(style: 'bold' | 'dim' | 'green' | 'red' | 'yellow', text: string): string {
  return styleText(style, text, { stream: process.stdout })
}

/** A progress bar on stderr. Off a terminal it prints nothing. Always stop it, or the terminal keeps no cursor. */
export interface Progress {
  /** Draws at most ten times a second. */
  update(done: number): void
  stop(): void
}

/**
 * Starts a progress bar.
 * @param total 0 when it is not known; then only what is done is counted
 */
export function startProgress(what: string, total: number): Progress {
  const format = total > 0 ? `${what} {bar} {percentage} % | {value} of {total}` : `${what} | {value}`
  const bar = new SingleBar({ format, hideCursor: true, clearOnComplete: true, fps: 10, barsize: 30 })
  bar.start(total, 0)
  return { update: done => bar.update(done), stop: () => bar.stop() }
}

/** A table of texts, the first column left, the others right. The first row is the heading. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => row[column]?.length ?? 0)))
  return rows
    .map(row =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n')
}
