import { type ErrorCode, isErrorCode, TandemError } from './errors.ts'

/** What a node process tells the supervisor that started it, once, over the IPC channel. */
export type NodeReport =
  | { readonly type: 'ready'; readonly describe: string }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly message: string; readonly hint?: string }

export function asNodeReport(message: unknown): NodeReport | undefined {
  const report = message as Partial<Record<string, unknown>> | null
  if (report?.type === 'ready' && typeof report.describe === 'string') return report as NodeReport
  const failed = report?.type === 'failed' && isErrorCode(report.code) && typeof report.message === 'string'
  return failed ? (report as NodeReport) : undefined
}

export const failedReport = ({ code, message, hint }: TandemError): NodeReport => ({
  type: 'failed',
  code,
  message,
  ...(hint === undefined ? {} : { hint }),
})

/** The child's error as the parent's, saying which process had it. */
export function reportedError(name: string, report: NodeReport & { type: 'failed' }): TandemError {
  const message = report.message
    .split('\n')
    .map((line) => `${name}: ${line}`)
    .join('\n')
  return new TandemError(report.code, message, { hint: report.hint })
}
