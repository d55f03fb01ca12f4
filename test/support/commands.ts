import { Command } from 'commander'
import type { CommandContext } from '../../scripts/command-context.ts'
import { loadConfig } from '../../src/ops/config.ts'

export interface CommandRun {
  readonly stdout: string
  readonly stderr: string
  /** Whether the command said that not all went well. */
  readonly partlyFailed: boolean
}

/** Runs commands of ours in this process: a process of its own for each costs a second. Rejects as they do. */
export function commandRunner(
  url: string,
  add: (program: Command, context: CommandContext) => void,
  env: NodeJS.ProcessEnv = {},
): (...args: string[]) => Promise<CommandRun> {
  return async (...args) => {
    let [stdout, stderr, partlyFailed] = ['', '', false]
    const context: CommandContext = {
      config: () => loadConfig({ env: { TANDEM_DATABASE_URL: url, ...env } }),
      print: (text) => {
        stdout += `${text}\n`
      },
      note: (text) => {
        stderr += `${text}\n`
      },
      partlyFailed: () => {
        partlyFailed = true
      },
    }
    const program = new Command('tandem').exitOverride().configureOutput({ writeErr: () => {} })
    add(program, context)
    await program.parseAsync(args, { from: 'user' })
    return { stdout, stderr, partlyFailed }
  }
}
