import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Endpoint } from '../src/sip/endpoint.ts'
import { formatHostPort } from '../src/sip/host.ts'
import { processTree } from './process-cpu.ts'

const MODULES = [
  '/usr/lib/x86_64-linux-gnu/kamailio/modules',
  '/usr/lib/kamailio/modules',
  '/usr/lib/aarch64-linux-gnu/kamailio/modules',
]

/** Kamailio's version, such as `5.6.3`, or undefined where it is not installed. */
export function kamailioVersion(): string | undefined {
  const { stdout } = spawnSync('kamailio', ['-v'], { encoding: 'utf8' })
  return /version: kamailio (\S+)/.exec(stdout ?? '')?.[1]
}

/**
 * A stateless dispatcher with one child, as its module's example has it, less what tm does: the checks of every Kamailio
 * configuration, Record-Route for what begins a dialog, a destination by the hash of the caller, and a Via.
 */
export class Kamailio {
  readonly #process: ChildProcess
  readonly #directory: string

  private constructor(process: ChildProcess, directory: string) {
    this.#process = process
    this.#directory = directory
  }

  static async start(listen: Endpoint, destination: Endpoint): Promise<Kamailio> {
    const directory = mkdtempSync(join(tmpdir(), 'tandem-kamailio-'))
    const list = join(directory, 'dispatcher.list')
    writeFileSync(list, `1 sip:${formatHostPort(destination.address, destination.port)}\n`)
    const file = join(directory, 'kamailio.cfg')
    writeFileSync(file, configuration(listen, list))
    const child = spawn(
      'kamailio',
      ['-DD', '-E', '-f', file, '-Y', directory, '-P', join(directory, 'pid'), '-m', '64', '-M', '8'],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let said = ''
    child.stderr?.on('data', (data) => {
      said = (said + data).slice(-4096)
    })
    await delay(1500)
    if (child.exitCode !== null) throw new Error(`kamailio did not start: ${said}`)
    return new Kamailio(child, directory)
  }

  get pids(): number[] {
    return processTree(this.#process.pid ?? 0)
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve))
    this.#process.kill('SIGTERM')
    await ended
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

function configuration(listen: Endpoint, list: string): string {
  return `#!KAMAILIO
debug=0
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
dns=no
rev_dns=no
server_signature=no
# As much as Tandem asks for: with the default, bursts of the load would be dropped.
maxbuffer=4194304
listen=udp:${formatHostPort(listen.address, listen.port)}
mpath="${MODULES.find((path) => existsSync(path)) ?? MODULES[0]}"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "sanity.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "rr.so"
loadmodule "dispatcher.so"
modparam("dispatcher", "list_file", "${list}")
modparam("rr", "enable_full_lr", 1)

request_route {
  if (!mf_process_maxfwd_header("10")) {
    sl_send_reply("483", "Too Many Hops");
    exit;
  }
  if (!sanity_check("17895", "7")) exit;
  if (has_totag()) {
    if (!loose_route()) {
      sl_send_reply("404", "Not here");
      exit;
    }
    forward();
    exit;
  }
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  if (!ds_select_dst("1", "1")) {
    sl_send_reply("503", "No destination available");
    exit;
  }
  forward();
}

reply_route {
  if (!sanity_check("17604", "6")) drop;
}
`
}
