#!/usr/bin/env node
import { runCommandLine } from './program.ts'

// Exit even if something was left open: a command that failed must not hang.
process.exitCode = await runCommandLine(process.argv.slice(2))
if (process.exitCode !== 0) process.exit()
