#!/usr/bin/env node
import { runCommandLine } from './program.ts'

// Whoever reads our output has read enough (`tandem map history | head`).
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

// Exit even if something was left open: a command that failed must not hang.
process.exitCode = await runCommandLine(process.argv.slice(2))
if (process.exitCode !== 0) process.exit()
