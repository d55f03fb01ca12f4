-- The tables a DBA and the nodes share. Forward only: a later change is a new file, never an edit of this one.
-- Nothing newer than PostgreSQL 14, and no extension.

comment on schema tandem is 'Tandem: partition map, subscribers, bindings and nodes of the SIP front end';
comment on table tandem.migration is 'Which numbered schema files have been applied to this database';
comment on column tandem.migration.id is 'Order in which the files were applied';
comment on column tandem.migration.name is 'Name of the file, without its ending';
comment on column tandem.migration.run_on is 'When it was applied';

-- ---------------------------------------------------------------------------------------------------------------
-- Hash
-- ---------------------------------------------------------------------------------------------------------------

-- Table-driven CRC-32, reflected polynomial 0xEDB88320 (zlib, RFC 1952 section 8). The table is a constant array of
-- fixed-width elements, so a look-up is an address calculation.
create function tandem.slot_of(canonical_user text) returns integer
language plpgsql immutable strict parallel safe as $$
declare
  bytes constant bytea := convert_to(canonical_user, 'UTF8');
  crc bigint := 4294967295;
begin
  for i in 0 .. length(bytes) - 1 loop
    crc := (crc >> 8) # ('{0,1996959894,3993919788,2567524794,124634137,1886057615,3915621685,2657392035,
      249268274,2044508324,3772115230,2547177864,162941995,2125561021,3887607047,2428444049,
      498536548,1789927666,4089016648,2227061214,450548861,1843258603,4107580753,2211677639,
      325883990,1684777152,4251122042,2321926636,335633487,1661365465,4195302755,2366115317,
      997073096,1281953886,3579855332,2724688242,1006888145,1258607687,3524101629,2768942443,
      901097722,1119000684,3686517206,2898065728,853044451,1172266101,3705015759,2882616665,
      651767980,1373503546,3369554304,3218104598,565507253,1454621731,3485111705,3099436303,
      671266974,1594198024,3322730930,2970347812,795835527,1483230225,3244367275,3060149565,
      1994146192,31158534,2563907772,4023717930,1907459465,112637215,2680153253,3904427059,
      2013776290,251722036,2517215374,3775830040,2137656763,141376813,2439277719,3865271297,
      1802195444,476864866,2238001368,4066508878,1812370925,453092731,2181625025,4111451223,
      1706088902,314042704,2344532202,4240017532,1658658271,366619977,2362670323,4224994405,
      1303535960,984961486,2747007092,3569037538,1256170817,1037604311,2765210733,3554079995,
      1131014506,879679996,2909243462,3663771856,1141124467,855842277,2852801631,3708648649,
      1342533948,654459306,3188396048,3373015174,1466479909,544179635,3110523913,3462522015,
      1591671054,702138776,2966460450,3352799412,1504918807,783551873,3082640443,3233442989,
      3988292384,2596254646,62317068,1957810842,3939845945,2647816111,81470997,1943803523,
      3814918930,2489596804,225274430,2053790376,3826175755,2466906013,167816743,2097651377,
      4027552580,2265490386,503444072,1762050814,4150417245,2154129355,426522225,1852507879,
      4275313526,2312317920,282753626,1742555852,4189708143,2394877945,397917763,1622183637,
      3604390888,2714866558,953729732,1340076626,3518719985,2797360999,1068828381,1219638859,
      3624741850,2936675148,906185462,1090812512,3747672003,2825379669,829329135,1181335161,
      3412177804,3160834842,628085408,1382605366,3423369109,3138078467,570562233,1426400815,
      3317316542,2998733608,733239954,1555261956,3268935591,3050360625,752459403,1541320221,
      2607071920,3965973030,1969922972,40735498,2617837225,3943577151,1913087877,83908371,
      2512341634,3803740692,2075208622,213261112,2463272603,3855990285,2094854071,198958881,
      2262029012,4057260610,1759359992,534414190,2176718541,4139329115,1873836001,414664567,
      2282248934,4279200368,1711684554,285281116,2405801727,4167216745,1634467795,376229701,
      2685067896,3608007406,1308918612,956543938,2808555105,3495958263,1231636301,1047427035,
      2932959818,3654703836,1088359270,936918000,2847714899,3736837829,1202900863,817233897,
      3183342108,3401237130,1404277552,615818150,3134207493,3453421203,1423857449,601450431,
      3009837614,3294710456,1567103746,711928724,3020668471,3272380065,1510334235,755167117}'::bigint[])[1 + ((crc # get_byte(bytes, i)) & 255)];
  end loop;
  return (crc # 4294967295) & 16383;
end
$$;
comment on function tandem.slot_of(text) is
  'Slot 0..16383 of a user: CRC-32 (zlib polynomial) of its bytes in UTF-8, modulo 16384. Takes the canonical user part: no escapes, parameters, password or visual separators';

-- ---------------------------------------------------------------------------------------------------------------
-- Change numbers
-- ---------------------------------------------------------------------------------------------------------------

create sequence tandem.rev;
comment on sequence tandem.rev is 'Change number of subscriber, binding and node rows; readers re-read rows with a higher number than they have seen';

-- A reader bounds what it must re-read by the transactions it saw running (tandem.refresh_point). That holds only if
-- a transaction is visible as running before it takes a number, hence the order of the two calls.
create function tandem.next_rev() returns bigint
language plpgsql volatile as $$
begin
  perform pg_current_xact_id();
  return nextval('tandem.rev');
end
$$;
comment on function tandem.next_rev() is 'Next change number, for a writer of subscriber, binding or node rows';

-- The number must be read before the snapshot is taken: then whatever took a number up to "last" has a transaction
-- that the snapshot knows, as finished or as running. plpgsql gives each of its statements a snapshot of its own.
create function tandem.refresh_point(out last bigint, out running text)
language plpgsql volatile as $$
begin
  select case when s.is_called then s.last_value else s.last_value - 1 end into last from tandem.rev s;
  select pg_current_snapshot()::text into running;
end
$$;
comment on function tandem.refresh_point() is 'Where a reader stands: the last change number given out, and the transactions running after that';

-- ---------------------------------------------------------------------------------------------------------------
-- Map: domains, groups, members, slot ranges
-- ---------------------------------------------------------------------------------------------------------------

create table tandem.domain (
  name text primary key check (name <> '' and name = lower(name)),
  realm text not null check (realm <> ''),
  description text
);
comment on table tandem.domain is 'SIP domains served here';
comment on column tandem.domain.name is 'Host part of the addresses of record, in lower case';
comment on column tandem.domain.realm is 'Realm of the digest challenge and of the stored HA1; when not given, the name';
comment on column tandem.domain.description is 'Free text for people';

create function tandem.domain_defaults() returns trigger
language plpgsql as $$
begin
  new.realm := coalesce(new.realm, new.name);
  return new;
end
$$;
comment on function tandem.domain_defaults() is 'Trigger: the realm of a domain is its name unless given';
create trigger domain_defaults before insert or update on tandem.domain
  for each row when (new.realm is null) execute function tandem.domain_defaults();

create table tandem.sip_group (
  name text primary key check (name ~ '^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$'),
  description text
);
comment on table tandem.sip_group is 'Groups: a master and its slaves that own ranges of slots';
comment on column tandem.sip_group.name is 'Name of the group; it appears in SIP URIs, so letters, digits, dot, hyphen and underscore only';
comment on column tandem.sip_group.description is 'Free text for people';

create function tandem.is_host_port(text) returns boolean
language plpgsql immutable strict as $$
declare
  host constant text := coalesce(substring($1 from '^\[([0-9A-Fa-f:.]+)\]:[0-9]{1,5}$'),
    substring($1 from '^([0-9.]+):[0-9]{1,5}$'));
  port constant integer := substring($1 from ':([0-9]{1,5})$');
begin
  return coalesce(masklen(host::inet) >= 32 and port between 1 and 65535, false);
exception when invalid_text_representation then
  return false;
end
$$;
comment on function tandem.is_host_port(text) is 'Whether a text is a numeric address and a port: 192.0.2.1:5060 or [2001:db8::1]:5060';

create table tandem.member (
  node text primary key check (node <> ''),
  group_name text not null references tandem.sip_group (name) on update cascade,
  role text not null check (role in ('master', 'slave')),
  priority integer not null default 10 check (priority between 0 and 65535),
  sip_address text not null check (tandem.is_host_port(sip_address)),
  description text,
  -- Deferred, so that one transaction can let master and slave change places.
  constraint member_one_master_per_group exclude using btree (group_name with =) where (role = 'master')
    deferrable initially deferred
);
create index member_group_name_idx on tandem.member (group_name);
comment on table tandem.member is 'Members: the stage-2 processes of each group';
comment on column tandem.member.node is 'Name of the node, as in its configuration';
comment on column tandem.member.group_name is 'Group it belongs to';
comment on column tandem.member.role is 'master: serves the slots of the group while it lives; slave: serves them when the master does not';
comment on column tandem.member.priority is 'Order among the slaves of a group, lowest first';
comment on column tandem.member.sip_address is 'Where stage 1 sends to, numeric: 192.0.2.1:5071 or [2001:db8::1]:5071';
comment on column tandem.member.description is 'Free text for people';

create table tandem.slot_range (
  first integer not null check (first between 0 and 16383),
  last integer not null check (last between 0 and 16383),
  group_name text not null references tandem.sip_group (name) on update cascade,
  description text,
  check (first <= last),
  -- Deferred, so that one transaction can move a border in two statements, in any order. The trigger below reports
  -- the same mistake first and in better words; this stays true even where triggers are switched off.
  constraint slot_range_no_overlap exclude using gist (int4range(first, last, '[]') with &&)
    deferrable initially deferred,
  primary key (first) deferrable initially deferred
);
create index slot_range_group_name_idx on tandem.slot_range (group_name);
comment on table tandem.slot_range is 'Which group owns which slots; at commit the ranges must cover 0..16383 exactly once';
comment on column tandem.slot_range.first is 'First slot of the range';
comment on column tandem.slot_range.last is 'Last slot of the range, included';
comment on column tandem.slot_range.group_name is 'Group that owns these slots';
comment on column tandem.slot_range.description is 'Free text for people';

create table tandem.map_version (
  version bigint primary key,
  changed_at timestamptz not null default now(),
  changed_by text not null default session_user,
  comment text
);
comment on table tandem.map_version is 'History of the map: one row per transaction that changed domains, groups, members or ranges';
comment on column tandem.map_version.version is 'Version the change made; nodes carry it in their messages and logs';
comment on column tandem.map_version.changed_at is 'Start of the transaction that made the change';
comment on column tandem.map_version.changed_by is 'Database user that made the change';
comment on column tandem.map_version.comment is 'Why: what the transaction put into the setting tandem.comment (SET LOCAL tandem.comment = ''…'')';

create table tandem.map_state (
  the_row boolean primary key default true check (the_row),
  version bigint not null,
  ranges_version bigint not null,
  changed_in xid8
);
insert into tandem.map_state (version, ranges_version) values (0, 0);
comment on table tandem.map_state is 'The one row that every change of the map updates first: it numbers the changes and lets only one transaction edit at a time';
comment on column tandem.map_state.the_row is 'Always true: there is one row';
comment on column tandem.map_state.version is 'Version of the map now';
comment on column tandem.map_state.ranges_version is 'Version at which the slot ranges changed last';
comment on column tandem.map_state.changed_in is 'Transaction that made the version, so that one transaction makes one version';

-- Locking the one row before any other is touched keeps two editors from a deadlock, and from committing halves that
-- are right alone and wrong together. A statement on slot_range also asks for the check at commit (see below).
create function tandem.map_opens() returns trigger
language plpgsql as $$
begin
  if tg_table_name = 'slot_range' then
    update tandem.map_state set ranges_version = ranges_version;
  else
    perform from tandem.map_state for update;
  end if;
  return null;
end
$$;
comment on function tandem.map_opens() is 'Trigger: takes the map''s lock before a statement touches its tables';

create function tandem.map_changes() returns trigger
language plpgsql as $$
declare
  state tandem.map_state;
begin
  if tg_op = 'UPDATE' then
    if new is not distinct from old then
      return new;
    end if;
  end if;
  select * into state from tandem.map_state;
  if state.changed_in is distinct from pg_current_xact_id() then
    update tandem.map_state set version = version + 1, changed_in = pg_current_xact_id() returning * into state;
    insert into tandem.map_version (version, comment)
      values (state.version, nullif(current_setting('tandem.comment', true), ''));
    perform pg_notify('tandem_map', state.version::text);
  end if;
  if tg_table_name = 'slot_range' and state.ranges_version <> state.version then
    update tandem.map_state set ranges_version = state.version;
  end if;
  return case tg_op when 'DELETE' then old else new end;
end
$$;
comment on function tandem.map_changes() is 'Trigger: the first row that a transaction changes makes a new version, of which every node is told at commit';

do $$
declare
  name text;
begin
  foreach name in array array['domain', 'sip_group', 'member', 'slot_range'] loop
    execute format('create trigger map_opens before insert or update or delete or truncate on tandem.%I
      for each statement execute function tandem.map_opens()', name);
    execute format('create trigger map_changes before insert or update or delete on tandem.%I
      for each row execute function tandem.map_changes()', name);
    execute format('create trigger map_empties before truncate on tandem.%I
      for each statement execute function tandem.map_changes()', name);
  end loop;
end
$$;

create function tandem.slot_range_problems() returns text
language sql stable as $$
  with ordered as (
    select first, last,
      coalesce(max(last) over (order by first, last rows between unbounded preceding and 1 preceding), -1) as covered
    from tandem.slot_range
  ), fault as (
    select covered + 1 as first, first - 1 as last, 'have no group' as what from ordered where first > covered + 1
    union all
    select coalesce(max(last), -1) + 1, 16383, 'have no group' from ordered having coalesce(max(last), -1) < 16383
    union all
    select o.first, least(o.last, o.covered), 'are in several ranges (groups ' ||
      (select string_agg(distinct r.group_name, ', ') from tandem.slot_range r
       where r.first <= least(o.last, o.covered) and r.last >= o.first) || ')'
    from ordered o where o.first <= o.covered
  )
  select string_agg('slots ' || first || '-' || last || ' ' || what, '; ' order by first)
  from (select * from fault order by first limit 10) f
$$;
comment on function tandem.slot_range_problems() is 'What is wrong with the slot ranges as this transaction sees them (at most ten faults); null when nothing is';

create function tandem.check_slot_ranges() returns trigger
language plpgsql as $$
declare
  problems constant text := tandem.slot_range_problems();
begin
  if problems is not null then
    raise exception 'the slot ranges must cover 0-16383 exactly once: %', problems using
      errcode = 'check_violation',
      schema = 'tandem', table = 'slot_range', constraint = 'slot_range_covers_every_slot_once',
      hint = 'Change the neighbouring ranges in the same transaction: BEGIN; UPDATE …; UPDATE …; COMMIT;';
  end if;
  return null;
end
$$;
comment on function tandem.check_slot_ranges() is 'Trigger: refuses to commit slot ranges with gaps or overlaps';

-- On map_state, which map_opens touches before a statement, rather than on slot_range: one check per statement instead
-- of one per row, and queued ahead of the exclusion constraint, whose words name half-open ranges.
create constraint trigger check_slot_ranges after update of ranges_version on tandem.map_state
  deferrable initially deferred for each row execute function tandem.check_slot_ranges();

-- ---------------------------------------------------------------------------------------------------------------
-- Subscribers
-- ---------------------------------------------------------------------------------------------------------------

create table tandem.subscriber (
  domain text not null references tandem.domain (name) on update cascade,
  username text not null check (username <> ''),
  slot integer not null check (slot between 0 and 16383),
  ha1_md5 text check (ha1_md5 ~ '^[0-9a-f]{32}$'),
  ha1_sha256 text check (ha1_sha256 ~ '^[0-9a-f]{64}$'),
  ha1_sha512_256 text check (ha1_sha512_256 ~ '^[0-9a-f]{64}$'),
  enabled boolean not null default true,
  rev bigint not null,
  description text,
  primary key (domain, username)
);
create index subscriber_slot_idx on tandem.subscriber (slot);
create index subscriber_rev_idx on tandem.subscriber (rev);
comment on table tandem.subscriber is 'Users who may register and call';
comment on column tandem.subscriber.domain is 'Domain of the user';
comment on column tandem.subscriber.username is 'User part of the address of record, canonical';
comment on column tandem.subscriber.slot is 'tandem.slot_of(username); set by a trigger';
comment on column tandem.subscriber.ha1_md5 is 'MD5 of username:realm:password in lower-case hex; null refuses the algorithm';
comment on column tandem.subscriber.ha1_sha256 is 'SHA-256 of username:realm:password in lower-case hex; null refuses the algorithm';
comment on column tandem.subscriber.ha1_sha512_256 is 'SHA-512/256 of username:realm:password in lower-case hex; null refuses the algorithm';
comment on column tandem.subscriber.enabled is 'false refuses every request of the user';
comment on column tandem.subscriber.rev is 'Change number; set by a trigger on every change';
comment on column tandem.subscriber.description is 'Free text for people';

create table tandem.subscriber_removed (
  domain text not null,
  username text not null,
  slot integer not null,
  rev bigint not null,
  removed_at timestamptz not null default now(),
  primary key (domain, username)
);
create index subscriber_removed_rev_idx on tandem.subscriber_removed (rev);
comment on table tandem.subscriber_removed is 'Users deleted lately: a node learns of a deletion by its change number, which the deleted row no longer has';
comment on column tandem.subscriber_removed.domain is 'Domain of the user';
comment on column tandem.subscriber_removed.username is 'User part of the address of record, canonical';
comment on column tandem.subscriber_removed.slot is 'Slot the user had';
comment on column tandem.subscriber_removed.rev is 'Change number of the deletion';
comment on column tandem.subscriber_removed.removed_at is 'When the user was deleted; the row is purged some time after';

create function tandem.subscriber_changes() returns trigger
language plpgsql as $$
begin
  if tg_op = 'INSERT' or new.username <> old.username then
    new.slot := tandem.slot_of(new.username);
  else
    new.slot := old.slot;
  end if;
  new.rev := tandem.next_rev();
  return new;
end
$$;
comment on function tandem.subscriber_changes() is 'Trigger: slot and change number of a subscriber';
create trigger subscriber_changes before insert or update on tandem.subscriber
  for each row execute function tandem.subscriber_changes();

create function tandem.subscriber_removes() returns trigger
language plpgsql as $$
begin
  insert into tandem.subscriber_removed (domain, username, slot, rev)
    values (old.domain, old.username, old.slot, tandem.next_rev())
    on conflict (domain, username) do update set slot = excluded.slot, rev = excluded.rev, removed_at = now();
  return null;
end
$$;
comment on function tandem.subscriber_removes() is 'Trigger: remembers a deleted or renamed subscriber until every node has heard of it';
create trigger subscriber_removes after delete on tandem.subscriber
  for each row execute function tandem.subscriber_removes();
create trigger subscriber_renames after update on tandem.subscriber
  for each row when ((old.domain, old.username) is distinct from (new.domain, new.username))
  execute function tandem.subscriber_removes();

-- ---------------------------------------------------------------------------------------------------------------
-- Nodes and the cluster's keys
-- ---------------------------------------------------------------------------------------------------------------

create table tandem.node (
  name text primary key check (name <> ''),
  stage text not null check (stage in ('stage1', 'stage2')),
  addresses jsonb not null default '{}' check (jsonb_typeof(addresses) = 'object'),
  version text,
  map_version bigint not null default 0,
  state text not null default 'loading' check (state in ('loading', 'serving', 'degraded', 'draining', 'stopped')),
  reason text,
  started_at timestamptz not null default now(),
  heartbeat_at timestamptz not null default now(),
  rev bigint not null default tandem.next_rev()
) with (fillfactor = 50);
comment on table tandem.node is 'Running processes of both stages, as each of them reports itself';
comment on column tandem.node.name is 'Name of the node, as in its configuration';
comment on column tandem.node.stage is 'stage1 or stage2';
comment on column tandem.node.addresses is 'Its sockets: face (edge, inside, listen, …) to HOST:PORT';
comment on column tandem.node.version is 'Version of its software';
comment on column tandem.node.map_version is 'Version of the map it works by';
comment on column tandem.node.state is 'loading, serving, degraded (serves, but something it needs is away), draining or stopped';
comment on column tandem.node.reason is 'Why it is degraded or draining';
comment on column tandem.node.started_at is 'When the process started';
comment on column tandem.node.heartbeat_at is 'When it last reported itself';
comment on column tandem.node.rev is 'Change number of stage, addresses and state: not of a mere heartbeat';

create function tandem.node_changes() returns trigger
language plpgsql as $$
begin
  new.rev := tandem.next_rev();
  perform pg_notify('tandem_map', 'node ' || new.name);
  return new;
end
$$;
comment on function tandem.node_changes() is 'Trigger: tells the other nodes that one came, moved or changed its state';
create trigger node_comes before insert on tandem.node
  for each row execute function tandem.node_changes();
create trigger node_changes before update on tandem.node
  for each row when ((old.stage, old.addresses, old.state) is distinct from (new.stage, new.addresses, new.state))
  execute function tandem.node_changes();

create table tandem.cluster_key (
  role text primary key check (role in ('current', 'previous')),
  secret bytea not null check (length(secret) = 32),
  created_at timestamptz not null default now()
);
comment on table tandem.cluster_key is 'Keys that all nodes share, for nonces and flow tokens; to rotate: current becomes previous, a new one current';
comment on column tandem.cluster_key.role is 'current: signs and verifies; previous: still verifies';
comment on column tandem.cluster_key.secret is '32 random bytes';
comment on column tandem.cluster_key.created_at is 'When the key was made';

-- Three random UUIDs hold 366 random bits of the server's strong source; the hash folds them into 256.
create function tandem.random_key() returns bytea
language sql volatile as $$
  select sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8'))
$$;
comment on function tandem.random_key() is '32 random bytes, without an extension';
insert into tandem.cluster_key (role, secret) values ('current', tandem.random_key()), ('previous', tandem.random_key());
