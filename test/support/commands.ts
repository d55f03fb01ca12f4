import { PassThrough, Readable } from 'node:stream'
import { Command } from 'commander'
import type { CommandContext } from '../../scripts/command-context.ts'
import { loadConfig } from '../../src/ops/config.ts'

export interface CommandRun {
  readonly stdout: string
  readonly stderr: string
  /** Whether the command said that not all went well. */
  readonly partlyFailed: boolean
}

export interface CommandRunner {
  /** Rejects as the command does. */
  (...args: string[]): Promise<CommandRun>
  /** With that on stdin. */
  withStdin(stdin: string | Buffer | CommandContext['stdin'], ...args: string[]): Promise<CommandRun>
}

/** Runs commands of ours in this process: a process of its own for each costs a second. */
export function commandRunner(
  url: string,
  add: (program: Command, context: CommandContext) => void,
  env: NodeJS.ProcessEnv = {},
): CommandRunner {
  const withStdin: CommandRunner['withStdin'] = async (input, ...args) => {
    let [stdout, stderr, partlyFailed] = ['', '', false]
    const errors = new PassThrough()
    errors.on('data', (chunk) => {
      stderr += chunk
    })
    const context: CommandContext = {
      config: () => loadConfig({ env: { TANDEM_DATABASE_URL: url, ...env } }),
      print: (text) => {
        stdout += `${text}\n`
      },
      note: (text) => void errors.write(`${text}\n`),
      stdin:
        typeof input === 'string' || Buffer.isBuffer(input) ? Readable.from([Buffer.from(input)]) : input,
      stderr: errors,
      partlyFailed: () => {
        partlyFailed = true
      },
    }
    const program = new Command('tandem').exitOverride().configureOutput({ writeErr: () => {} })
    add(program, context)
    await program.parseAsync(args, { from: 'user' })
    return { stdout, stderr, partlyFailed }
  }
  return Object.assign((...args: string[]) => withStdin('', ...args), { withStdin })
}
