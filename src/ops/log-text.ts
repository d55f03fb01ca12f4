/**
 * A pino line for people: `12:03:04.123 s1 WARN  member a1 is down  slots=8192`, of worker 2 `s1/2`.
 * Errors show their message only; level debug or the JSON format has the stack.
 */
export function textLine(json: string): string {
  const { time, level, node, worker, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>
  const clock = String(time).slice(11, 23)
  const rest = Object.entries(fields).map(([name, value]) => `${name}=${fieldText(value)}`)
  if (isErrorLike(err)) rest.push(`error=${fieldText(err.message)}`)
  const process = worker === undefined ? String(node) : `${node}/${worker}`
  const head = `${clock} ${process} ${String(level).toUpperCase().padEnd(5)} ${String(msg ?? '')}`
  return `${[head, ...rest].join('  ')}\n`
}

// JSON quoting keeps line ends and terminal escapes of strangers out of the line.
function fieldText(value: unknown): string {
  return typeof value === 'string' && /^[\w@:.+/[\];=-]+$/.test(value) ? value : JSON.stringify(value)
}

const isErrorLike = (value: unknown): value is { message: string } =>
  typeof value === 'object' && value !== null && 'message' in value
