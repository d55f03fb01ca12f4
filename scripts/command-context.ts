import type { Config } from '../src/ops/config.ts'
import { exitStatus } from '../src/ops/errors.ts'

/** What a command needs of the process it runs in; tests give their own. */
export interface CommandContext {
  /** The configuration in effect. @throws TandemError CONFIG_… */
  config(): Config
  /** The result, on stdout: one or more whole lines, without the last line feed. */
  print(text: string): void
  /** What accompanies it, on stderr. */
  note(text: string): void
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean }
  /** For prompts and progress, where lines are not enough. */
  readonly stderr: NodeJS.WritableStream & { readonly isTTY?: boolean }
  /** The command did its work, but its exit status shall say that not all is well. */
  partlyFailed(): void
}

/** Prints as JSON where that was asked for, else as text. */
export function printResult(
  { print }: CommandContext,
  asJson: boolean | undefined,
  value: unknown,
  text: () => string,
): void {
  print(asJson ? JSON.stringify(value, null, 2) : text())
}

/** The context of a command line, and the exit status it has come to. */
export function processContext(config: () => Config): CommandContext & { readonly status: number } {
  let status = 0
  return {
    config,
    print: (text) => void process.stdout.write(`${text}\n`),
    note: (text) => void process.stderr.write(`${text}\n`),
    stdin: process.stdin,
    stderr: process.stderr,
    partlyFailed: () => {
      status = exitStatus.failure
    },
    get status() {
      return status
    },
  }
}
