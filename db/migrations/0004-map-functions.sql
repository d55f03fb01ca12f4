-- What a DBA types: looking at the map, editing it, comparing and undoing versions. Plain statements on the tables do
-- as well; these only save typing, and mistakes. See docs/partition-map.md.

-- ---------------------------------------------------------------------------------------------------------------
-- Looking
-- ---------------------------------------------------------------------------------------------------------------

create function tandem.owner_of(aor text,
  out key text, out slot integer, out group_name text, out why text, out rule text)
language plpgsql stable strict as $$
begin
  key := tandem.hash_key(aor);
  slot := tandem.slot_of_key(key);
  select p.group_name, 'pin', p.value into group_name, why, rule
    from tandem.pin p where p.kind = 'user' and p.value = key;
  if not found then
    select p.group_name, 'prefix', p.value || '*' into group_name, why, rule
      from tandem.pin p where p.kind = 'prefix'
        and p.value in (select left(key, n) from generate_series(1, length(key)) n)
      order by length(p.value) desc limit 1;
  end if;
  if not found then
    select r.group_name, 'range', r.first || '-' || r.last into group_name, why, rule
      from tandem.slot_range r where slot between r.first and r.last;
  end if;
end
$$;
comment on function tandem.owner_of(text) is
  'Which group owns a user (alice, alice@example.com, sip:alice@example.com), and why: a pin, a prefix or the range of its slot';

create view tandem.slot_owner as
  select slot, group_name, first, last from tandem.slot_range, generate_series(first, last) as slot;
comment on view tandem.slot_owner is 'Group of each of the 16384 slots, without regard to pins';

-- One look into an index per pin, so it costs what the pins cover and not what the table holds; the planner, who knows
-- nothing of a snapshot, has to be told (offset 0, enable_seqscan). A user whom several pins concern goes with the exact
-- one, then with the longest.
create function tandem.pinned_subscribers(snapshot jsonb)
returns table (domain text, username text, slot integer, kind text, value text, group_name text)
language sql stable rows 1000 set enable_seqscan = off set jit = off as $$
  with pins as materialized (
    select * from jsonb_to_recordset(snapshot -> 'pin') as p (kind text, value text, group_name text)
  )
  select distinct on (domain, username) domain, username, slot, kind, value, group_name from (
    select s.domain, s.username, s.slot, p.*
    from pins p
      join tandem.subscriber s on s.username = split_part(p.value, '@', 1)
      join tandem.domain d on d.name = s.domain
    where p.kind = 'user' and p.value = case d.hash_by when 'user' then s.username else s.username || '@' || s.domain end
    union all
    select s.domain, s.username, s.slot, p.*
    from pins p cross join lateral (
      select * from tandem.subscriber u
      where u.username ~>=~ p.value and u.username ~<~ (left(p.value, -1) || chr(ascii(right(p.value, 1)) + 1))
      offset 0
    ) s
    where p.kind = 'prefix'
  ) matches
  order by domain, username, kind desc, length(value) desc
$$;
comment on function tandem.pinned_subscribers(jsonb) is 'Subscribers whom the pins of a snapshot of the map concern, each with the one that counts';

create function tandem.pinned_now() returns table (domain text, username text, slot integer, group_name text, slot_group text)
language sql stable as $$
  select p.domain, p.username, p.slot, p.group_name, o.group_name
  from tandem.pinned_subscribers((select jsonb_build_object('pin', coalesce(jsonb_agg(to_jsonb(t)), '[]')) from tandem.pin t)) p
    left join tandem.slot_owner o using (slot)
$$;
comment on function tandem.pinned_now() is 'Subscribers whom a pin concerns: the group that has them, and the one that would by their slot';

create function tandem.load_by_group() returns table (group_name text, subscribers bigint, bindings bigint)
language plpgsql stable set jit = off as $$
#variable_conflict use_column
begin
  return query
  with pinned as materialized (
    select * from tandem.pinned_now()
  ), pinned_bindings as materialized (
    select p.group_name, p.slot_group, count(*) as count
    from pinned p join tandem.binding b on b.slot = p.slot and b.aor = p.username || '@' || p.domain
    where not b.deleted and b.expires_at > now()
    group by p.group_name, p.slot_group
  )
  select group_name, sum(s)::bigint, sum(b)::bigint from (
    select o.group_name, sum(c.count) as s, 0 as b
    from (select slot, count(*) as count from tandem.subscriber group by slot) c join tandem.slot_owner o using (slot)
    group by o.group_name
    union all select group_name, count(*), 0 from pinned group by group_name
    union all select slot_group, -count(*), 0 from pinned group by slot_group
    union all
    select o.group_name, 0, sum(c.count)
    from (select slot, count(*) as count from tandem.binding where not deleted and expires_at > now() group by slot) c
      join tandem.slot_owner o using (slot)
    group by o.group_name
    union all select group_name, 0, count from pinned_bindings
    union all select slot_group, 0, -count from pinned_bindings
  ) x group by group_name;
end
$$;
comment on function tandem.load_by_group() is 'How many subscribers and live bindings each group has, pins counted in';

create view tandem.overview as
select g.name as group_name, g.state, m.master, coalesce(m.count, 0) as members,
  coalesce(r.slots, 0) as slots, round(100 * coalesce(r.slots, 0) / 16384.0, 2) as slots_percent,
  coalesce(p.count, 0) as pins,
  coalesce(s.subscribers, 0) as subscribers,
  round(100 * coalesce(s.subscribers, 0) / nullif(sum(s.subscribers) over (), 0), 2) as subscribers_percent,
  coalesce(s.bindings, 0) as bindings
from tandem.sip_group g
  left join (
    select group_name, count(*) as count, max(node) filter (where role = 'master') as master
    from tandem.member group by group_name
  ) m on m.group_name = g.name
  left join (
    select group_name, sum(last - first + 1) as slots from tandem.slot_range group by group_name
  ) r on r.group_name = g.name
  left join (
    select group_name, count(*) as count from tandem.pin group by group_name
  ) p on p.group_name = g.name
  left join tandem.load_by_group() s on s.group_name = g.name
order by g.name;
comment on view tandem.overview is 'What each group has: members, slots, pins, subscribers (pins counted in) and live bindings. Counts rows: half a second per million';

create view tandem.map_history as
  select version, changed_at, changed_by, comment, changes from tandem.map_version order by version desc;
comment on view tandem.map_history is 'Versions of the map, the newest first: when, by whom, why, and what changed';

create function tandem.snapshot_of(wanted bigint) returns jsonb
language plpgsql stable as $$
declare
  found_snapshot jsonb;
begin
  if wanted = 0 then
    return '{"domain": [], "sip_group": [], "member": [], "slot_range": [], "pin": []}';
  end if;
  select snapshot into found_snapshot from tandem.map_version where version = wanted;
  if not found then
    raise exception 'there is no version % of the map', coalesce(wanted::text, 'null') using errcode = 'no_data_found',
      hint = 'SELECT * FROM tandem.map_history;';
  elsif found_snapshot is null then
    raise exception 'version % of the map was made before versions were kept whole', wanted using errcode = 'no_data_found',
      hint = 'SELECT min(version) FROM tandem.map_version WHERE snapshot IS NOT NULL;';
  end if;
  return found_snapshot;
end
$$;
comment on function tandem.snapshot_of(bigint) is 'The whole map as it was in a version';

create function tandem.map_version_now() returns bigint
language sql stable as $$
  select version from tandem.map_state
$$;
comment on function tandem.map_version_now() is 'Version of the map; inside a transaction that edits it, the one its commit makes';

-- Users whom a pin of either version concerns are looked at one by one, all others by counting index ranges.
create function tandem.diff(old_version bigint, new_version bigint default null)
returns table (what text, item text, before text, after text, subscribers bigint)
language plpgsql stable set jit = off as $$
#variable_conflict use_column
declare
  old_map constant jsonb := tandem.snapshot_of(old_version);
  new_map constant jsonb := tandem.snapshot_of(coalesce(new_version, tandem.map_version_now()));
begin
  return query
  with difference as materialized (
    select row_number() over () as n, d.*,
      case d.what when 'slots' then split_part(d.item, '-', 1)::integer end as first,
      case d.what when 'slots' then split_part(d.item, '-', 2)::integer end as last
    from tandem.map_difference(old_map, new_map) d
  ), pinned as materialized (
    select slot,
      case when o.value is not null then o.kind end as old_kind, o.value as old_value, o.group_name as old_group,
      case when w.value is not null then w.kind end as new_kind, w.value as new_value, w.group_name as new_group
    from tandem.pinned_subscribers(old_map) o
      full join tandem.pinned_subscribers(new_map) w using (domain, username, slot)
  ), blamed as (
    -- A change of owner is the doing of the pin that now counts, if that is what changed; else of the one that counted.
    select c.what, c.item, count(*) as count
    from (
      select coalesce(d.what, e.what) as what, coalesce(d.item, e.item) as item
      from pinned p
        left join tandem.owners(old_map) os using (slot)
        left join tandem.owners(new_map) ns using (slot)
        left join difference d on d.what = case p.new_kind when 'user' then 'pin' else p.new_kind end
          and d.item = p.new_value || case p.new_kind when 'prefix' then '*' else '' end
        left join difference e on e.what = case p.old_kind when 'user' then 'pin' else p.old_kind end
          and e.item = p.old_value || case p.old_kind when 'prefix' then '*' else '' end
      where coalesce(p.old_group, os.group_name) is distinct from coalesce(p.new_group, ns.group_name)
    ) c group by c.what, c.item
  ), elsewhere as (
    select d.n, sum(c.count) as count
    from difference d cross join lateral generate_series(d.first, d.last) as slot
      join (select slot, count(*) as count from pinned group by slot) c using (slot)
    group by d.n
  )
  select d.what, d.item, d.before, d.after, case
      when d.what = 'slots' then
        (select count(*) from tandem.subscriber s where s.slot between d.first and d.last)
        - coalesce(e.count, 0)::bigint
      when d.what in ('pin', 'prefix') then coalesce(b.count, 0) end
  from difference d
    left join blamed b on b.what = d.what and b.item = d.item
    left join elsewhere e on e.n = d.n
  order by d.n;
end
$$;
comment on function tandem.diff(bigint, bigint) is
  'What changed between two versions of the map (the second: now, unless given), and for slots, pins and prefixes how many subscribers change owner by it. Version 0 is the empty map';

-- ---------------------------------------------------------------------------------------------------------------
-- Editing. Each returns the version that the commit makes, or the present one if there was nothing to do.
-- ---------------------------------------------------------------------------------------------------------------

create function tandem.edit_map(comment text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  perform from tandem.map_state for update;
  if comment is not null then
    perform set_config('tandem.comment', comment, true);
  end if;
end
$$;
comment on function tandem.edit_map(text) is 'Makes other editors of the map wait for the end of this transaction, and says why it edits';

create function tandem.require_receiver(group_name text) returns void
language plpgsql stable as $$
begin
  if (select state from tandem.sip_group where name = group_name) = 'draining' then
    raise exception 'group % is draining: it is given nothing more', group_name using
      errcode = 'check_violation', schema = 'tandem', table = 'sip_group', constraint = 'group_takes_no_more',
      hint = format('If it shall serve again: UPDATE tandem.sip_group SET state = ''active'' WHERE name = %L;', group_name);
  end if;
end
$$;
comment on function tandem.require_receiver(text) is 'Refuses a group that is draining';

create function tandem.require_slots(first integer, last integer) returns void
language plpgsql immutable as $$
begin
  if first between 0 and 16383 and last between first and 16383 then
    return;
  end if;
  raise exception 'slots %-% are no range within 0-16383', coalesce(first::text, 'null'), coalesce(last::text, 'null')
    using errcode = 'check_violation', schema = 'tandem', table = 'slot_range', constraint = 'slot_range_within_bounds',
    hint = 'Give the first and the last slot of the range, both included';
end
$$;
comment on function tandem.require_slots(integer, integer) is 'Refuses what is no range of slots';

create function tandem.cut_range(at_slot integer) returns void
language plpgsql as $$
declare
  cut tandem.slot_range;
begin
  select * into cut from tandem.slot_range where first < at_slot and last >= at_slot;
  if found then
    update tandem.slot_range set last = at_slot - 1 where first = cut.first;
    insert into tandem.slot_range (first, last, group_name, description)
      values (at_slot, cut.last, cut.group_name, cut.description);
  end if;
end
$$;
comment on function tandem.cut_range(integer) is 'Makes a slot the first of its range';

create function tandem.assign(first integer, last integer, to_group text, comment text default null) returns bigint
language plpgsql as $$
#variable_conflict use_variable
declare
  from_slot integer := first;
  to_slot integer := last;
begin
  perform tandem.edit_map(comment);
  perform tandem.require_slots(first, last);
  perform tandem.require_receiver(to_group);
  if to_slot - from_slot + 1 = (select count(*) from tandem.slot_owner o
      where o.slot between from_slot and to_slot and o.group_name = to_group) then
    return tandem.map_version_now();
  end if;
  perform tandem.cut_range(from_slot);
  perform tandem.cut_range(to_slot + 1);
  delete from tandem.slot_range r where r.first between from_slot and to_slot;
  -- Grows the neighbours of the same group, except those that somebody has described as a thing of their own.
  delete from tandem.slot_range r where r.last = from_slot - 1 and r.group_name = to_group and r.description is null
    returning r.first into first;
  delete from tandem.slot_range r where r.first = to_slot + 1 and r.group_name = to_group and r.description is null
    returning r.last into last;
  insert into tandem.slot_range (first, last, group_name)
    values (coalesce(first, from_slot), coalesce(last, to_slot), to_group);
  return tandem.map_version_now();
end
$$;
comment on function tandem.assign(integer, integer, text, text) is
  'Gives slots first to last to a group; splits and merges ranges as needed. Returns the version it makes';

create function tandem.split(at_slot integer, comment text default null) returns bigint
language plpgsql as $$
begin
  perform tandem.edit_map(comment);
  perform tandem.require_slots(at_slot, at_slot);
  perform tandem.cut_range(at_slot);
  return tandem.map_version_now();
end
$$;
comment on function tandem.split(integer, text) is
  'Divides a range in two, of which the second begins with this slot; no user moves. Returns the version it makes';

create function tandem.pin_kind(user_or_prefix text) returns text
language sql immutable strict as $$
  select case when user_or_prefix like '%*' then 'prefix' else 'user' end
$$;
comment on function tandem.pin_kind(text) is 'prefix for what ends in an asterisk (+4930*), user for all else';

create function tandem.pin(user_or_prefix text, to_group text, comment text default null) returns bigint
language plpgsql as $$
begin
  perform tandem.edit_map(comment);
  perform tandem.require_receiver(to_group);
  insert into tandem.pin as p (kind, value, group_name)
    values (tandem.pin_kind(user_or_prefix), user_or_prefix, to_group)
    on conflict (kind, value) do update set group_name = excluded.group_name;
  return tandem.map_version_now();
end
$$;
comment on function tandem.pin(text, text, text) is
  'Gives a user (alice, alice@example.com) or a prefix of numbers (+4930*) to a group, whatever the slots say. Returns the version it makes';

create function tandem.unpin(user_or_prefix text, comment text default null) returns bigint
language plpgsql as $$
declare
  wanted_kind constant text := tandem.pin_kind(user_or_prefix);
begin
  perform tandem.edit_map(comment);
  delete from tandem.pin where kind = wanted_kind
    and value = case wanted_kind when 'prefix' then tandem.pin_prefix(user_or_prefix) else tandem.hash_key(user_or_prefix) end;
  if not found then
    raise exception '% is not pinned', coalesce(user_or_prefix, 'null') using errcode = 'no_data_found',
      hint = 'SELECT * FROM tandem.pin; a prefix ends in an asterisk here: +4930*';
  end if;
  return tandem.map_version_now();
end
$$;
comment on function tandem.unpin(text, text) is
  'Takes the pin of a user or a prefix (+4930*) away: the slots decide again. Returns the version it makes';

create function tandem.add_group(name text, master text, master_address text,
  slave text default null, slave_address text default null, comment text default null) returns bigint
language plpgsql as $$
begin
  perform tandem.edit_map(comment);
  if exists (select from tandem.sip_group g where g.name = add_group.name) then
    raise exception 'there is a group % already', name using errcode = 'unique_violation',
      hint = format('Add a member to it: INSERT INTO tandem.member (node, group_name, role, sip_address) VALUES (…, %L, ''slave'', …);', name);
  end if;
  insert into tandem.sip_group (name) values (name);
  insert into tandem.member (node, group_name, role, sip_address) values (master, name, 'master', master_address);
  if slave is not null then
    insert into tandem.member (node, group_name, role, sip_address) values (slave, name, 'slave', slave_address);
  end if;
  return tandem.map_version_now();
end
$$;
comment on function tandem.add_group(text, text, text, text, text, text) is
  'Adds a group with its master and, if given, a slave; it owns nothing yet. Returns the version it makes';

create function tandem.require_group(group_name text) returns void
language plpgsql stable as $$
begin
  if exists (select from tandem.sip_group where name = group_name) then
    return;
  end if;
  raise exception 'there is no group %', coalesce(group_name, 'null') using errcode = 'no_data_found',
    hint = 'Groups: ' || coalesce((select string_agg(name, ', ' order by name) from tandem.sip_group), 'none');
end
$$;
comment on function tandem.require_group(text) is 'Refuses a group that does not exist';

create function tandem.drain_group(name text, into_groups text[] default null, comment text default null) returns bigint
language plpgsql as $$
#variable_conflict use_variable
declare
  targets constant text[] := coalesce(into_groups, (select array_agg(g.name order by g.name) from tandem.sip_group g
    where g.name <> name and g.state = 'active'
      and exists (select from tandem.member m where m.group_name = g.name and m.role = 'master')));
  target text;
  run record;
begin
  perform tandem.edit_map(comment);
  perform tandem.require_group(name);
  if coalesce(cardinality(targets), 0) = 0 or name = any (targets) then
    raise exception 'group % has nobody to drain into', name using
      errcode = 'check_violation', schema = 'tandem', table = 'sip_group', constraint = 'group_drains_into_others',
      hint = format('Name other groups: SELECT tandem.drain_group(%L, ''{b,c}'');', name);
  end if;
  foreach target in array targets loop
    perform tandem.require_group(target);
    perform tandem.require_receiver(target);
  end loop;
  update tandem.sip_group g set state = 'draining' where g.name = name;
  -- To each target the same number of slots, in one run as far as the group's own ranges allow.
  for run in
    select min(o.slot) as first, max(o.slot) as last, o.target from (
      select t.*, t.slot - row_number() over (partition by t.target order by t.slot) as island from (
        select slot, targets[1 + (row_number() over (order by slot) - 1) * cardinality(targets) / count(*) over ()] as target
        from tandem.slot_owner where group_name = name
      ) t
    ) o group by o.target, o.island order by 1
  loop
    perform tandem.assign(run.first, run.last, run.target);
  end loop;
  update tandem.pin p set group_name = n.target from (
    select kind, value, targets[1 + (row_number() over (order by kind, value) - 1) * cardinality(targets) / count(*) over ()] as target
    from tandem.pin where group_name = name
  ) n where p.kind = n.kind and p.value = n.value;
  return tandem.map_version_now();
end
$$;
comment on function tandem.drain_group(text, text[], text) is
  'Moves all slots and pins of a group to others, in equal parts: to those named, or to all active ones. Returns the version it makes';

create function tandem.remove_group(name text, comment text default null) returns bigint
language plpgsql as $$
begin
  perform tandem.edit_map(comment);
  perform tandem.require_group(name);
  if tandem.group_property(name) is null then
    delete from tandem.member m where m.group_name = remove_group.name;
  end if;
  delete from tandem.sip_group g where g.name = remove_group.name;
  return tandem.map_version_now();
end
$$;
comment on function tandem.remove_group(text, text) is
  'Removes a group that owns nothing, with its members. Returns the version it makes';

-- Touches only the rows that differ, in an order that no foreign key minds.
create function tandem.rollback_to(version bigint, comment text default null) returns bigint
language plpgsql as $$
declare
  map jsonb;
  kept text;
  step record;
begin
  perform tandem.edit_map(coalesce(comment, format('rollback to version %s', version)));
  map := tandem.snapshot_of(version);
  select string_agg(d.name, ', ') into kept from tandem.domain d
    where d.name not in (select r ->> 'name' from jsonb_array_elements(map -> 'domain') r)
      and exists (select from tandem.subscriber s where s.domain = d.name);
  if kept is not null then
    raise exception 'version % of the map does not have domain %, which has users', version, kept using
      errcode = 'foreign_key_violation', schema = 'tandem', table = 'domain', constraint = 'domain_of_users_stays',
      hint = 'Undo the other changes one by one; SELECT * FROM tandem.diff(version) lists them';
  end if;
  for step in select * from (values
    ('domain', 'name', false), ('sip_group', 'name', false),
    ('member', 'node', true), ('slot_range', 'first', true), ('pin', 'kind, value', true),
    ('sip_group', 'name', null), ('domain', 'name', null)
  ) as s (source, key, deletes) loop
    if step.deletes is distinct from false then
      execute format('delete from tandem.%1$I where (%2$s) not in
        (select %2$s from jsonb_populate_recordset(null::tandem.%1$I, $1))', step.source, step.key)
        using map -> step.source;
    end if;
    if step.deletes is not null then
      perform tandem.restore_rows(step.source, step.key, map -> step.source);
    end if;
  end loop;
  return tandem.map_version_now();
end
$$;
comment on function tandem.rollback_to(bigint, text) is
  'Brings the map back to what it was in a version, as a new version. Returns the version it makes';

create function tandem.restore_rows(source text, key text, wanted jsonb) returns void
language plpgsql as $$
declare
  columns constant text := (select string_agg(quote_ident(attname), ', ' order by attnum) from pg_catalog.pg_attribute
    where attrelid = format('tandem.%I', source)::regclass and attnum > 0 and not attisdropped);
begin
  execute format('update tandem.%1$I t set (%2$s) = (select %2$s from (select w.*) x)
    from jsonb_populate_recordset(null::tandem.%1$I, $1) w
    where (%3$s) = (%4$s) and t.* is distinct from w.*', source, columns,
    't.' || replace(key, ', ', ', t.'), 'w.' || replace(key, ', ', ', w.')) using wanted;
  execute format('insert into tandem.%1$I select * from jsonb_populate_recordset(null::tandem.%1$I, $1)
    where (%2$s) not in (select %2$s from tandem.%1$I)', source, key) using wanted;
end
$$;
comment on function tandem.restore_rows(text, text, jsonb) is 'Makes the rows of a table of the map, as far as they are named, what they were in a snapshot';

create function tandem.rotate_cluster_key() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  delete from tandem.cluster_key where role = 'previous';
  update tandem.cluster_key set role = 'previous' where role = 'current';
  insert into tandem.cluster_key (role, secret) values ('current', tandem.random_key());
end
$$;
comment on function tandem.rotate_cluster_key() is
  'A new cluster key; the one before it is still accepted, until the next rotation. Leave nodes a minute to hear of it';
