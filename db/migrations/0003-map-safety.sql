-- Pins, aliases, settings of domains and groups; a version of the map is checked and kept as a whole at its commit.

-- ---------------------------------------------------------------------------------------------------------------
-- From what people type to a slot
-- ---------------------------------------------------------------------------------------------------------------

-- Bytes, not characters: the nodes see what came from the wire.
create function tandem.normalize_escapes(user_part text) returns text
language plpgsql immutable strict parallel safe as $$
declare
  bytes constant bytea := convert_to(user_part, 'UTF8');
  length constant integer := length(bytes);
  normal text := '';
  escaped boolean;
  digits text;
  c integer;
  i integer := 0;
begin
  while i < length loop
    c := get_byte(bytes, i);
    escaped := false;
    if c = 37 and i + 2 < length then
      digits := encode(substring(bytes from i + 2 for 2), 'escape');
      if digits ~ '^[0-9A-Fa-f]{2}$' then
        escaped := true;
        c := get_byte(decode(digits, 'hex'), 0);
        i := i + 2;
      end if;
    end if;
    i := i + 1;
    -- RFC 3261 section 25.1, unreserved: equal to its escape. Reserved: not equal, so it stays as it came.
    if c between 48 and 57 or c between 65 and 90 or c between 97 and 122 or c in (45, 95, 46, 33, 126, 42, 39, 40, 41)
      or not escaped and c in (59, 47, 63, 58, 64, 38, 61, 43, 36, 44) then
      normal := normal || chr(c);
    else
      normal := normal || '%' || upper(lpad(to_hex(c), 2, '0'));
    end if;
  end loop;
  return normal;
end
$$;
comment on function tandem.normalize_escapes(text) is
  'The one spelling of all user parts that differ in their %HH escapes only (RFC 3261 section 19.1.4); ASCII';

create function tandem.canonical_user(user_part text, is_phone boolean default false) returns text
language plpgsql immutable strict parallel safe as $$
declare
  name text := user_part;
begin
  if name ~ '[:;]' then
    name := substring(name from '^[^:;]*');
  end if;
  -- Nearly all users are written plainly, and a byte at a time is slow here.
  if name !~ '^[A-Za-z0-9_.!~*''()/?@&=+$,-]*$' then
    name := tandem.normalize_escapes(name);
  end if;
  if (is_phone or left(name, 1) = '+') and name ~ '[-.()]'
    and name ~ '^\+?[*.()-]*([0-9]|%23)([0-9*.()-]|%23)*$' then
    name := translate(name, '-.()', '');
  end if;
  return name;
end
$$;
comment on function tandem.canonical_user(text, boolean) is
  'User part in the form that is hashed, stored and compared: without parameters and password, escapes in one spelling, telephone numbers (+ and digits; with is_phone local ones too) without -.()';

alter function tandem.slot_of(text) rename to slot_of_key;
comment on function tandem.slot_of_key(text) is
  'Slot 0..16383 of a key (tandem.hash_key) as it stands: CRC-32 (zlib polynomial) of its bytes in UTF-8, modulo 16384';

alter table tandem.domain
  add caller_auth boolean not null default true,
  add hash_by text not null default 'user' check (hash_by in ('user', 'user@domain'));
comment on column tandem.domain.caller_auth is
  'Whether callers of this domain are to authenticate with their own group before a call goes on. Kept for the release that does so: this one asks no caller, whatever stands here';
comment on column tandem.domain.hash_by is
  'What decides the slot of a user: user (the user part alone) or user@domain, which spreads the equal extensions of many tenants. Fixed while the domain has users or aliases';

create function tandem.hash_key(user_or_aor text) returns text
language plpgsql stable strict parallel safe as $$
declare
  -- Blanks stand in no user part, but people put them into telephone numbers.
  typed constant text := case when user_or_aor ~* '^ *(sips?:|tel:)?[+]?[-0-9 .()]*(@|$)' then translate(user_or_aor, ' ', '') else user_or_aor end;
  whole constant text := regexp_replace(typed, '^(sips?|tel):', '', 'i');
  is_phone constant boolean := user_or_aor ~* '^tel:' or user_or_aor ~* '@.*;user=phone(;|\?|$)';
  host constant text := lower(coalesce(substring(whole from '@\[([^]@]*)\][^@]*$'), substring(whole from '@([^:;?@]*)[^@]*$')));
  name constant text := tandem.canonical_user(regexp_replace(whole, '@[^@]*$', ''), is_phone);
begin
  if host is null or not exists (select from tandem.domain where domain.name = host and hash_by = 'user@domain') then
    return name;
  end if;
  return name || '@' || host;
end
$$;
comment on function tandem.hash_key(text) is
  'What decides where a user lives, given as people type it (alice, +49 30 123, alice@example.com, sip:alice@example.com): the canonical user part, or user@domain in a domain that hashes so';

create function tandem.slot_of(user_or_aor text) returns integer
language sql stable strict parallel safe as $$
  select tandem.slot_of_key(tandem.hash_key(user_or_aor))
$$;
comment on function tandem.slot_of(text) is
  'Slot 0..16383 of a user as people type it: alice, +49 30 123, m%c3%bcller, alice@example.com, sip:alice@example.com';

-- ---------------------------------------------------------------------------------------------------------------
-- More of the map
-- ---------------------------------------------------------------------------------------------------------------

alter table tandem.sip_group
  add state text not null default 'active' check (state in ('active', 'draining')),
  add database_urls text[] check (
    cardinality(database_urls) > 0 and array_to_string(database_urls, ' ', '') ~ '^(postgres(ql)?://[^[:space:]]+( |$))+$');
comment on column tandem.sip_group.state is
  'active, or draining: serves what it still owns, and the functions of this schema give it nothing more';
comment on column tandem.sip_group.database_urls is
  'Database of the users and bindings of this group, one URL or several of which the first that accepts writes is used; null: the default database. Every node and every keeper of the history can read a password that stands here';

alter table tandem.member
  alter sip_address drop not null,
  add srv_name text check (length(srv_name) <= 253
    and srv_name ~ '^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'),
  add constraint member_is_somewhere check (num_nonnulls(sip_address, srv_name) > 0);
comment on column tandem.member.srv_name is
  'Domain name whose SRV records (_sip._udp.NAME) say where the member is, in place of sip_address. Kept and checked only: no node of this release resolves it, and none sends to a member without sip_address';

create table tandem.pin (
  kind text not null check (kind in ('user', 'prefix')),
  value text not null check (value <> ''),
  group_name text not null references tandem.sip_group (name) on update cascade,
  description text,
  primary key (kind, value),
  check (kind <> 'prefix' or value ~ '^\+?[0-9]+$')
);
create index pin_group_name_idx on tandem.pin (group_name);
comment on table tandem.pin is 'Exceptions that go before the slots: an exact user first, then the longest prefix';
comment on column tandem.pin.kind is 'user: this one user; prefix: all users that begin with these digits';
comment on column tandem.pin.value is 'user: tandem.hash_key of the user; prefix: digits, after a + or not. A trigger brings what is typed into this form';
comment on column tandem.pin.group_name is 'Group that owns these users';
comment on column tandem.pin.description is 'Free text for people';

create function tandem.pin_prefix(typed text) returns text
language plpgsql immutable strict as $$
declare
  digits constant text := translate(rtrim(typed, '*'), '-.() ', '');
begin
  if digits !~ '^\+?[0-9]+$' then
    raise exception '"%" is no prefix of telephone numbers', typed using
      errcode = 'check_violation', schema = 'tandem', table = 'pin', constraint = 'pin_prefix_is_digits',
      hint = 'A prefix is digits, with a + before them where the numbers have one: +4930';
  end if;
  return digits;
end
$$;
comment on function tandem.pin_prefix(text) is 'A prefix as people type it (+49-30, +4930*) as table pin keeps it; refuses what is not digits';

create function tandem.pin_is_canonical() returns trigger
language plpgsql as $$
begin
  new.value := case new.kind when 'prefix' then tandem.pin_prefix(new.value) else tandem.hash_key(new.value) end;
  return new;
end
$$;
comment on function tandem.pin_is_canonical() is 'Trigger: brings the value of a pin into the form that nodes compare with';
create trigger canonical before insert or update on tandem.pin
  for each row execute function tandem.pin_is_canonical();

-- ---------------------------------------------------------------------------------------------------------------
-- Refusals in words, at the statement
-- ---------------------------------------------------------------------------------------------------------------

create function tandem.group_exists() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  what text;
begin
  if exists (select from tandem.sip_group where name = new.group_name) then
    return new;
  end if;
  what := case tg_table_name
    when 'slot_range' then format('slots %s-%s are', to_jsonb(new) ->> 'first', to_jsonb(new) ->> 'last')
    when 'pin' then format('%s %s is', to_jsonb(new) ->> 'kind', to_jsonb(new) ->> 'value')
    else format('member %s is', to_jsonb(new) ->> 'node') end;
  raise exception '% given to group %, which does not exist', what, coalesce(new.group_name, 'null') using
    errcode = 'foreign_key_violation', schema = 'tandem', table = tg_table_name, constraint = 'group_exists',
    hint = 'Groups: ' || coalesce((select string_agg(name, ', ' order by name) from tandem.sip_group), 'none')
      || '. Add one with tandem.add_group()';
end
$$;
comment on function tandem.group_exists() is 'Trigger: refuses slots, pins and members for a group that does not exist, in better words than a foreign key';

do $$
declare
  name text;
begin
  foreach name in array array['member', 'slot_range', 'pin'] loop
    execute format('create trigger group_exists before insert or update of group_name on tandem.%I
      for each row execute function tandem.group_exists()', name);
  end loop;
end
$$;

create function tandem.group_property(name text) returns text
language sql stable strict as $$
  with ranges as (
    select count(*) as count, sum(last - first + 1) as slots,
      string_agg(first || '-' || last, ', ' order by first) filter (where n <= 5) as text
    from (select *, row_number() over (order by first) as n from tandem.slot_range where group_name = name) r
  ), pins as (
    select count(*) as count, string_agg(value || case kind when 'prefix' then '*' else '' end, ', ' order by kind, value)
      filter (where n <= 5) as text
    from (select *, row_number() over (order by kind, value) as n from tandem.pin where group_name = name) p
  )
  select nullif(concat_ws(' and ',
    case when r.count > 0 then 'slots ' || r.text || case when r.count > 5
      then format(', … (%s slots in %s ranges)', r.slots, r.count) else '' end end,
    case when p.count > 0 then case p.count when 1 then 'pin ' else 'pins ' end || p.text || case when p.count > 5
      then format(', … (%s pins)', p.count) else '' end end), '')
  from ranges r, pins p
$$;
comment on function tandem.group_property(text) is 'What a group owns, in words; null when it owns nothing';

create function tandem.group_goes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  owned constant text := tandem.group_property(old.name);
  members constant text := (select string_agg(node, ', ' order by node) from tandem.member where group_name = old.name);
begin
  if owned is not null then
    raise exception 'group % cannot be removed: it owns %', old.name, owned using
      errcode = 'foreign_key_violation', schema = 'tandem', table = 'sip_group', constraint = 'group_owns_nothing_when_removed',
      hint = format('Move them first: SELECT tandem.drain_group(%L);', old.name);
  elsif members is not null then
    raise exception 'group % cannot be removed: it has members (%)', old.name, members using
      errcode = 'foreign_key_violation', schema = 'tandem', table = 'sip_group', constraint = 'group_has_no_member_when_removed',
      hint = format('Remove them with it: SELECT tandem.remove_group(%L);', old.name);
  end if;
  return old;
end
$$;
comment on function tandem.group_goes() is 'Trigger: a group goes only when it owns nothing and has no member';
create trigger group_goes before delete on tandem.sip_group
  for each row execute function tandem.group_goes();

-- A subscriber's trigger locks its domain FOR KEY SHARE before it reads hash_by, and FOR UPDATE waits for that: so no
-- user can get in with a slot by the old rule.
create function tandem.domain_hashes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from tandem.domain where name = old.name for update;
  if exists (select from tandem.subscriber where domain = old.name)
    or exists (select from tandem.alias where domain = old.name) then
    raise exception 'domain % has users or aliases, so hash_by stays %', old.name, old.hash_by using
      errcode = 'check_violation', schema = 'tandem', table = 'domain', constraint = 'domain_hash_by_is_fixed',
      hint = 'hash_by decides in which slot each of them and their bindings are. Set it before the first user comes';
  end if;
  return new;
end
$$;
comment on function tandem.domain_hashes() is 'Trigger: hash_by cannot change under the users of a domain';
create trigger domain_hashes before update on tandem.domain
  for each row when (new.hash_by <> old.hash_by) execute function tandem.domain_hashes();

-- ---------------------------------------------------------------------------------------------------------------
-- One version per transaction, checked and kept as a whole at its commit
-- ---------------------------------------------------------------------------------------------------------------

alter table tandem.map_version
  add changes text,
  add snapshot jsonb;
comment on column tandem.map_version.changes is 'What the version changed, in words; the first few things of many';
comment on column tandem.map_version.snapshot is 'The whole map of this version: table name to its rows. null for versions made before snapshots were kept';

alter table tandem.map_state
  add edits bigint not null default 0,
  add checked_edits bigint not null default 0;
comment on column tandem.map_state.edits is 'Statements on the tables of the map so far';
comment on column tandem.map_state.checked_edits is 'How many of them were made when the map was last checked';

create function tandem.map_snapshot() returns jsonb
language sql stable as $$
  select jsonb_build_object(
    'domain', (select coalesce(jsonb_agg(to_jsonb(t) order by name), '[]') from tandem.domain t),
    'sip_group', (select coalesce(jsonb_agg(to_jsonb(t) order by name), '[]') from tandem.sip_group t),
    'member', (select coalesce(jsonb_agg(to_jsonb(t) order by node), '[]') from tandem.member t),
    'slot_range', (select coalesce(jsonb_agg(to_jsonb(t) order by first), '[]') from tandem.slot_range t),
    'pin', (select coalesce(jsonb_agg(to_jsonb(t) order by kind, value), '[]') from tandem.pin t))
$$;
comment on function tandem.map_snapshot() is 'The whole map as this transaction sees it: table name to its rows';

create function tandem.owners(snapshot jsonb) returns table (slot integer, group_name text)
language sql immutable parallel safe rows 16384 as $$
  select generate_series(first, last), group_name
  from jsonb_to_recordset(snapshot -> 'slot_range') as r (first integer, last integer, group_name text)
$$;
comment on function tandem.owners(jsonb) is 'Group of each slot in a snapshot of the map';

-- The planner cannot know how little these joins give, and would spend two seconds on compiling each of them: jit off.
create function tandem.map_difference(old_map jsonb, new_map jsonb)
returns table (what text, item text, before text, after text)
language sql immutable set jit = off as $$
  with moved as (
    select slot, o.group_name as before, n.group_name as after,
      slot - row_number() over (partition by o.group_name, n.group_name order by slot) as island
    from tandem.owners(old_map) o full join tandem.owners(new_map) n using (slot)
    where o.group_name is distinct from n.group_name
  ), pins as (
    select kind, value, o.group_name as before, n.group_name as after
    from jsonb_to_recordset(old_map -> 'pin') as o (kind text, value text, group_name text)
      full join jsonb_to_recordset(new_map -> 'pin') as n (kind text, value text, group_name text) using (kind, value)
    where o.group_name is distinct from n.group_name
  ), things (n, what, source, key) as (
    values (3, 'group', 'sip_group', 'name'), (4, 'member', 'member', 'node'), (5, 'domain', 'domain', 'name')
  ), changed as (
    select n, what, coalesce(o, w) ->> key as item, o - key as before, w - key as after
    from things cross join lateral (
      select * from jsonb_array_elements(old_map -> source) as o (old_row)
        full join jsonb_array_elements(new_map -> source) as w (new_row) on old_row ->> key = new_row ->> key
    ) as joined (o, w)
    where o is distinct from w
  ), texts as (
    -- Only what differs; and no password of a database.
    select n, what, item, (
      select string_agg(k || ' ' || regexp_replace(coalesce(v #>> '{}', 'null'), '(://[^:@/ "]*):[^@/ "]*@', '\1:***@', 'g'), ', ' order by k)
      from jsonb_each(c.before) as b (k, v) where v is distinct from c.after -> k and (v <> 'null' or c.after is not null)) as before, (
      select string_agg(k || ' ' || regexp_replace(coalesce(v #>> '{}', 'null'), '(://[^:@/ "]*):[^@/ "]*@', '\1:***@', 'g'), ', ' order by k)
      from jsonb_each(c.after) as a (k, v) where v is distinct from c.before -> k and (v <> 'null' or c.before is not null)) as after
    from changed c
  )
  select what, item, before, after from (
    select 1 as n, 'slots' as what, min(slot) || '-' || max(slot) as item, before, after, min(slot) as slot
    from moved group by before, after, island
    union all
    select 2, case kind when 'user' then 'pin' else 'prefix' end, value || case kind when 'user' then '' else '*' end,
      before, after, 0 from pins
    union all
    select n, what, item, before, after, 0 from texts
  ) d order by n, slot, what, item
$$;
comment on function tandem.map_difference(jsonb, jsonb) is
  'What differs between two snapshots of the map: slots, pins and prefixes with their groups, and the changed columns of groups, members and domains';

create function tandem.map_difference_text(old_map jsonb, new_map jsonb) returns text
language sql immutable as $$
  with numbered as (
    select row_number() over () as n, count(*) over () as count, what || ' ' || item || case
      when what in ('pin', 'prefix') then format(': %s → %s', coalesce(before, 'slots'), coalesce(after, 'slots'))
      when before is not null and after is not null then format(': %s → %s', before, after)
      when what = 'slots' then format(': %s → %s', coalesce(before, 'nobody'), coalesce(after, 'nobody'))
      when before is null then ' added' else ' removed' end as line
    from tandem.map_difference(old_map, new_map)
  )
  select string_agg(line, '; ' order by n) || case when max(count) > 5 then format('; … %s in all', max(count)) else '' end
  from numbered where n <= 5
$$;
comment on function tandem.map_difference_text(jsonb, jsonb) is 'What differs between two snapshots of the map, on a line';

create function tandem.check_map() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  problems text;
begin
  -- A database that never had a range has no map yet; one that had keeps one.
  if exists (select from tandem.slot_range) or (select ranges_version > 0 from tandem.map_state) then
    problems := tandem.slot_range_problems();
    if problems is not null then
      raise exception 'the slot ranges must cover 0-16383 exactly once: %', problems using
        errcode = 'check_violation',
        schema = 'tandem', table = 'slot_range', constraint = 'slot_range_covers_every_slot_once',
        hint = 'Use tandem.assign(first, last, group), or change the neighbouring ranges in the same transaction: BEGIN; UPDATE …; UPDATE …; COMMIT;';
    end if;
  end if;
  select string_agg(format('group %s owns %s, but %s', g.name, tandem.group_property(g.name),
      case when m.node is null then 'has no master'
        else format('its master %s has only an SRV name, which this release does not resolve', m.node) end),
      '; ' order by g.name) into problems
    from tandem.sip_group g left join tandem.member m on m.group_name = g.name and m.role = 'master'
    where m.sip_address is null and (exists (select from tandem.slot_range where group_name = g.name)
      or exists (select from tandem.pin where group_name = g.name));
  if problems is not null then
    raise exception '%', problems using
      errcode = 'check_violation', schema = 'tandem', table = 'member', constraint = 'member_masters_every_owner',
      hint = 'Make another member the master in the same transaction, or move what the group owns first (tandem.drain_group)';
  end if;
end
$$;
comment on function tandem.check_map() is 'Refuses a map, as this transaction sees it, in which a slot has no group or several, or an owner has no master';

-- As PostgreSQL fires it first of all that waits for the commit (map_opens touches map_state before a statement touches
-- anything else), its words go before those of the exclusion constraint, which names half-open ranges.
create function tandem.map_closes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  state tandem.map_state;
  map jsonb;
begin
  select * into state from tandem.map_state;
  if state.checked_edits = state.edits then
    return null;
  end if;
  if state.changed_in = pg_current_xact_id_if_assigned() then
    perform tandem.check_map();
    map := tandem.map_snapshot();
    update tandem.map_version v set snapshot = map,
      comment = coalesce(nullif(current_setting('tandem.comment', true), ''), v.comment),
      changes = tandem.map_difference_text((select p.snapshot from tandem.map_version p where p.version = state.version - 1), map)
      where v.version = state.version;
  end if;
  update tandem.map_state set checked_edits = edits;
  return null;
end
$$;
comment on function tandem.map_closes() is 'Trigger: at commit, checks the map that the transaction leaves, and keeps it with its version';

create or replace function tandem.map_opens() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  update tandem.map_state set edits = edits + 1;
  return null;
end
$$;
comment on function tandem.map_opens() is 'Trigger: takes the map''s lock before a statement touches its tables, and asks for the check at commit; after it, asks again';

create or replace function tandem.map_changes() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
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

create trigger map_opens before insert or update or delete or truncate on tandem.pin
  for each statement execute function tandem.map_opens();
create trigger map_changes before insert or update or delete on tandem.pin
  for each row execute function tandem.map_changes();
create trigger map_empties before truncate on tandem.pin
  for each statement execute function tandem.map_changes();

-- Where somebody has SET CONSTRAINTS … IMMEDIATE, what map_opens asked for was done before the statement did anything.
do $$
declare
  name text;
begin
  foreach name in array array['domain', 'sip_group', 'member', 'slot_range', 'pin'] loop
    execute format('create trigger map_edited after insert or update or delete or truncate on tandem.%I
      for each statement execute function tandem.map_opens()', name);
  end loop;
end
$$;

drop trigger check_slot_ranges on tandem.map_state;
drop function tandem.check_slot_ranges();
create constraint trigger map_closes after update of edits on tandem.map_state
  deferrable initially deferred for each row execute function tandem.map_closes();

-- The version in force is the one that the next is compared with.
update tandem.map_version set snapshot = tandem.map_snapshot()
  where version = (select version from tandem.map_state);

-- ---------------------------------------------------------------------------------------------------------------
-- Users: profile, aliases
-- ---------------------------------------------------------------------------------------------------------------

alter table tandem.subscriber
  add profile jsonb not null default '{}' check (jsonb_typeof(profile) = 'object');
comment on column tandem.subscriber.profile is 'Settings of the user: a JSON object. Kept for features to come; this release reads none of it';
comment on column tandem.subscriber.username is 'User part of the address of record; a trigger makes it canonical';
comment on column tandem.subscriber.slot is 'tandem.slot_of the address of record; set by a trigger';

-- Finds the users that a pin concerns, in every domain and by prefix, and those that a person looks for by number.
create index subscriber_username_idx on tandem.subscriber (username text_pattern_ops);

create or replace function tandem.subscriber_changes() returns trigger
language plpgsql as $$
declare
  rule text;
begin
  new.username := tandem.canonical_user(new.username);
  if tg_op = 'INSERT' or (new.domain, new.username) is distinct from (old.domain, old.username) then
    select hash_by into rule from tandem.domain where name = new.domain for key share;
    new.slot := tandem.slot_of_key(case rule when 'user@domain' then new.username || '@' || new.domain else new.username end);
  else
    new.slot := old.slot;
  end if;
  new.rev := tandem.next_rev();
  return new;
end
$$;
comment on function tandem.subscriber_changes() is 'Trigger: canonical name, slot and change number of a subscriber';

create table tandem.alias (
  domain text not null references tandem.domain (name) on update cascade,
  username text not null check (username <> ''),
  slot integer not null check (slot between 0 and 16383),
  target_domain text not null references tandem.domain (name) on update cascade,
  target_username text not null check (target_username <> ''),
  rev bigint not null,
  description text,
  primary key (domain, username),
  constraint alias_of_another check ((domain, username) <> (target_domain, target_username))
);
create index alias_slot_idx on tandem.alias (slot);
create index alias_rev_idx on tandem.alias (rev);
create index alias_target_idx on tandem.alias (target_domain, target_username);
comment on table tandem.alias is 'Addresses of record that stand for another one, of whatever group; an alias of an alias is refused';
comment on column tandem.alias.domain is 'Domain of the alias';
comment on column tandem.alias.username is 'User part of the alias; a trigger makes it canonical';
comment on column tandem.alias.slot is 'tandem.slot_of the alias: its group looks it up; set by a trigger';
comment on column tandem.alias.target_domain is 'Domain of the address of record that it stands for';
comment on column tandem.alias.target_username is 'User part of the address of record that it stands for; a trigger makes it canonical';
comment on column tandem.alias.rev is 'Change number; set by a trigger on every change';
comment on column tandem.alias.description is 'Free text for people';

create table tandem.alias_removed (
  domain text not null,
  username text not null,
  slot integer not null,
  rev bigint not null,
  removed_at timestamptz not null default now(),
  primary key (domain, username)
);
create index alias_removed_rev_idx on tandem.alias_removed (rev);
comment on table tandem.alias_removed is 'Aliases deleted lately: a node learns of a deletion by its change number, which the deleted row no longer has';
comment on column tandem.alias_removed.domain is 'Domain of the alias';
comment on column tandem.alias_removed.username is 'User part of the alias, canonical';
comment on column tandem.alias_removed.slot is 'Slot the alias had';
comment on column tandem.alias_removed.rev is 'Change number of the deletion';
comment on column tandem.alias_removed.removed_at is 'When the alias was deleted; the row is purged some time after';

create function tandem.alias_changes() returns trigger
language plpgsql as $$
declare
  rule text;
  reason text;
begin
  new.username := tandem.canonical_user(new.username);
  new.target_username := tandem.canonical_user(new.target_username);
  select hash_by into rule from tandem.domain where name = new.domain for key share;
  new.slot := tandem.slot_of_key(case rule when 'user@domain' then new.username || '@' || new.domain else new.username end);
  reason := case
    when exists (select from tandem.subscriber s where (s.domain, s.username) = (new.domain, new.username))
      then 'a subscriber has this address'
    when exists (select from tandem.alias a where (a.domain, a.username) = (new.target_domain, new.target_username))
      then format('%s@%s is an alias itself', new.target_username, new.target_domain)
    when exists (select from tandem.alias a where (a.target_domain, a.target_username) = (new.domain, new.username))
      then 'other aliases stand for this address' end;
  if reason is not null then
    raise exception '%@% cannot be an alias of %@%: %', new.username, new.domain, new.target_username, new.target_domain,
      reason using errcode = 'check_violation', schema = 'tandem', table = 'alias', constraint = 'alias_is_one_step',
      hint = 'An alias stands for the address of a subscriber, in one step';
  end if;
  new.rev := tandem.next_rev();
  return new;
end
$$;
comment on function tandem.alias_changes() is 'Trigger: canonical names, slot and change number of an alias; one step only';
create trigger alias_changes before insert or update on tandem.alias
  for each row execute function tandem.alias_changes();

create function tandem.alias_removes() returns trigger
language plpgsql as $$
begin
  insert into tandem.alias_removed (domain, username, slot, rev)
    values (old.domain, old.username, old.slot, tandem.next_rev())
    on conflict (domain, username) do update set slot = excluded.slot, rev = excluded.rev, removed_at = now();
  return null;
end
$$;
comment on function tandem.alias_removes() is 'Trigger: remembers a deleted or renamed alias until every node has heard of it';
create trigger alias_removes after delete on tandem.alias
  for each row execute function tandem.alias_removes();
create trigger alias_renames after update on tandem.alias
  for each row when ((old.domain, old.username) is distinct from (new.domain, new.username))
  execute function tandem.alias_removes();
