import { errorCodes, errorLines, exitStatus, TandemError } from '../src/ops/errors.ts'
import { hideSecrets } from '../src/ops/secrets.ts'

/**
 * Tells the operator why a command failed and returns its exit status: one line per problem for what an operator
 * can cause, the stack once for a bug.
 */
export function reportFailure(error: unknown, { verbose }: { verbose: boolean }): number {
  const known = error instanceof TandemError
  const lines = known
    ? errorLines(error)
    : ['tandem: this is a bug in Tandem; please report it with what follows']
  if (!known || verbose) lines.push(stackOf(error))
  process.stderr.write(`${hideSecrets(lines.join('\n'))}\n`)
  return known ? errorCodes[error.code].exit : exitStatus.bug
}

function stackOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error.stack ?? error.message
  return error.cause === undefined ? own : `${own}\n  caused by: ${stackOf(error.cause)}`
}
