import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DEMO_DOMAIN, demoPassword } from '../db/demo.ts'
import { formatHostPort, type HostPort } from '../src/ops/host-port.ts'

export const DEMO_PHONES = ['alice', 'bob'] as const

/** Where `tandem up` keeps them, or one of them. */
export const phonesIn = (dataDir: string, user = '') => join(dataDir, 'phones', user)

/** alice plays a tone, bob sends back what he hears: so sound flows in both directions, and no sound card is needed. */
const SOURCES = {
  alice: ['ausine,440', 'ausrc_srate 48000', 'ausrc_channels 2'], // the only format that module ausine has
  bob: ['aubridge,quiet'],
} as const

/** Writes configurations for phones on this machine that answer by themselves: `baresip -f FOLDER/alice`. */
export function writeDemoPhones(folder: string, proxy: HostPort): void {
  for (const user of DEMO_PHONES) {
    const phone = join(folder, user)
    mkdirSync(phone, { recursive: true })
    writeFileSync(join(phone, 'config'), config(user, proxy.address.includes(':') ? '::1' : '127.0.0.1'))
    writeFileSync(join(phone, 'accounts'), account(user, proxy))
  }
}

// The path is Debian's; module_path has no default.
const config = (user: (typeof DEMO_PHONES)[number], address: string) => `net_interface ${address}
audio_source ${SOURCES[user].join('\n')}
audio_player aubridge,quiet
audio_alert aubridge,quiet
module_path /usr/lib/baresip/modules
module stdio.so
module g711.so
module ausine.so
module aubridge.so
module_tmp uuid.so
module_tmp account.so
module_app menu.so
`

const account = (user: string, proxy: HostPort) =>
  `<sip:${user}@${DEMO_DOMAIN}>;auth_pass=${demoPassword(user)};outbound="sip:${formatHostPort(proxy)}";answermode=auto\n`
