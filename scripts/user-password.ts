import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import type { Ha1s } from '../db/subscriber-store.ts'
import { fromSql } from '../db/wire-text.ts'
import { TandemError } from '../src/ops/errors.ts'
import { ha1 } from '../src/sip/digest.ts'
import type { CommandContext } from './command-context.ts'

/** HA1 for every algorithm we know. All arguments are wire text. */
export const allHa1s = (user: string, realm: string, password: string): Ha1s => ({
  ha1Md5: ha1('MD5', user, realm, password),
  ha1Sha256: ha1('SHA-256', user, realm, password),
  ha1Sha512256: ha1('SHA-512-256', user, realm, password),
})

const MAX_BYTES = 4_096

/**
 * A password for somebody, as wire text: the first line of stdin, or asked for twice on the terminal without showing it. Never
 * from the command line, which other users of the machine can read.
 * @throws TandemError USAGE
 */
export async function readPassword(
  context: CommandContext,
  { fromStdin, whose }: { readonly fromStdin: boolean; readonly whose: string },
): Promise<string> {
  const password = fromStdin ? await firstLine(context.stdin) : await askTwice(context, whose)
  if (password === '') throw usage('the password is empty', 'give one')
  return fromSql(password)
}

async function firstLine(stdin: CommandContext['stdin']): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of stdin) {
    const part = Buffer.from(chunk)
    chunks.push(part)
    bytes += part.length
    if (bytes > MAX_BYTES || part.includes('\n')) break
  }
  const [line = ''] = Buffer.concat(chunks).toString('utf8').split('\n')
  if (bytes > MAX_BYTES) throw usage('the password on stdin is too long', 'give one line')
  return line.replace(/\r$/, '')
}

async function askTwice(context: CommandContext, whose: string): Promise<string> {
  if (!context.stdin.isTTY) {
    throw usage('there is no terminal to ask for a password', 'give it on stdin, with --password-stdin')
  }
  const first = await ask(context, `Password for ${whose}: `)
  const second = first === '' ? '' : await ask(context, 'Once more: ')
  if (first !== second) throw usage('the two passwords differ', 'try again')
  return first
}

async function ask({ stdin, stderr }: CommandContext, prompt: string): Promise<string> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: stdin, output: silent, terminal: true, historySize: 0 })
  stderr.write(prompt)
  try {
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve)
      const stopped = () => reject(usage('no password was given', 'type it, and then Enter'))
      lines.once('SIGINT', stopped)
      lines.once('close', stopped)
    })
  } finally {
    lines.close()
    stderr.write('\n')
  }
}

const usage = (problem: string, hint: string) => new TandemError('USAGE', problem, { hint })
