import { readFileSync } from 'node:fs'

/** Debian's packages, for the message that they are missing. */
export const KAMAILIO_PACKAGES = 'kamailio kamailio-postgres-modules'

const MODULES = '/usr/lib/x86_64-linux-gnu/kamailio/modules/'
const TABLES = ['standard', 'usrloc', 'htable']

/** What Debian's package gives to make Kamailio's tables in PostgreSQL. @throws Error ENOENT without the packages */
export const kamailioTables = (): string =>
  TABLES.map((name) => readFileSync(`/usr/share/kamailio/postgres/${name}-create.sql`, 'utf8')).join('\n')

export interface KamailioRegistrar {
  readonly address: string
  readonly port: number
  readonly databaseUrl: string
  /** 1: every registration is in PostgreSQL when it is answered; 2: written later, by a timer. */
  readonly dbMode: 1 | 2
  readonly children: number
}

/**
 * Kamailio 5.6 as a registrar with digest, its users' HA1 in shared memory (a table of module `htable`, read at the
 * start) as Tandem has them: a query for each registration would be its largest part.
 */
export function kamailioRegistrar({
  address,
  port,
  databaseUrl,
  dbMode,
  children,
}: KamailioRegistrar): string {
  return `#!KAMAILIO
debug=0
log_stderror=yes
children=${children}
auto_aliases=no
disable_tcp=yes
listen=udp:${address}:${port}
mpath="${MODULES}"
loadmodule "db_postgres.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "sanity.so"
loadmodule "siputils.so"
loadmodule "textops.so"
loadmodule "htable.so"
loadmodule "auth.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
modparam("htable", "db_url", "${databaseUrl}")
modparam("htable", "htable", "ha1=>size=16;dbtable=htable;")
modparam("usrloc", "db_url", "${databaseUrl}")
modparam("usrloc", "db_mode", ${dbMode})
modparam("usrloc", "timer_interval", 5)
modparam("usrloc", "hash_size", 16)
modparam("registrar", "max_contacts", 10)
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (!sanity_check("17895", "7")) exit;
  if (!is_method("REGISTER")) { sl_send_reply("405", "Method Not Allowed"); exit; }
  if (!pv_www_authenticate("$fd", "$sht(ha1=>$au)", "1")) { www_challenge("$fd", "1"); exit; }
  if (!save("location")) sl_reply_error();
}
`
}
