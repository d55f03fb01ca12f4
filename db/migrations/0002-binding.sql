-- Registered contacts. By far the most written table, so each choice here is for the cost of one update.

create table tandem.binding (
  slot integer not null check (slot between 0 and 16383),
  aor text not null check (aor <> ''),
  key text not null,
  contact text not null,
  params text not null default '',
  q smallint not null default 1000 check (q between 0 and 1000),
  path text[] not null default '{}',
  call_id text not null default '',
  cseq bigint not null default 0,
  instance text,
  reg_id bigint,
  user_agent text,
  received text,
  expires_at timestamptz not null,
  changed_at timestamptz not null default now(),
  deleted boolean not null default false,
  rev bigint not null default tandem.next_rev(),
  primary key (slot, aor, key)
) partition by range (slot);

-- Room on each page lets an update stay there (HOT), which then touches neither the primary key nor tombstones.
do $$
begin
  for i in 0 .. 15 loop
    execute format(
      'create table tandem.binding_%s partition of tandem.binding for values from (%s) to (%s) with (fillfactor = 70)',
      to_char(i, 'FM00'), i * 1024, (i + 1) * 1024);
    execute format('comment on table tandem.binding_%s is %L',
      to_char(i, 'FM00'), format('Bindings of slots %s to %s', i * 1024, (i + 1) * 1024 - 1));
  end loop;
end
$$;

-- A refresh asks for "rev above N" once a second. Measured with PostgreSQL 18, 300,000 rows, 250 updates a statement:
-- no index 49,000 updates/s; BRIN of two pages 42,000, all of them HOT; btree 36,000, none HOT, and 35 % more WAL.
-- Finding 1,000 changed rows takes 14 to 20 ms with the BRIN index, 9 to 18 with the btree, 85 and growing without.
-- Until PostgreSQL 16 a BRIN index, too, costs an update its place on the page.
create index binding_rev_idx on tandem.binding using brin (rev) with (pages_per_range = 2, autosummarize = on);

-- Over a column that never changes: an index over changed_at would cost every update its place on the page.
create index binding_deleted_idx on tandem.binding (slot) where deleted;

comment on table tandem.binding is 'Registered contacts. Members write whole rows; a change by hand is taken over at the next refresh, and a deletion by hand leaves a tombstone';
comment on column tandem.binding.slot is 'tandem.slot_of the user part of the address of record';
comment on column tandem.binding.aor is 'Address of record: user@domain, canonical';
comment on column tandem.binding.key is 'What makes the contact the same one: instance and reg-id, or the contact URI in its form for comparison';
comment on column tandem.binding.contact is 'Contact URI';
comment on column tandem.binding.params is 'Parameters of the contact as they were received';
comment on column tandem.binding.q is 'Preference of the contact in thousandths';
comment on column tandem.binding.path is 'Values of Path (RFC 3327), the first to be visited first';
comment on column tandem.binding.call_id is 'Call-ID of the REGISTER that made or refreshed the binding';
comment on column tandem.binding.cseq is 'CSeq number of that REGISTER';
comment on column tandem.binding.instance is '+sip.instance (RFC 5626)';
comment on column tandem.binding.reg_id is 'reg-id (RFC 5626)';
comment on column tandem.binding.user_agent is 'User-Agent of that REGISTER';
comment on column tandem.binding.received is 'Where that REGISTER came from, as stage 1 saw it';
comment on column tandem.binding.expires_at is 'When the binding ends unless refreshed';
comment on column tandem.binding.changed_at is 'When the member, or somebody by hand, made the change';
comment on column tandem.binding.deleted is 'Tombstone: the contact was removed; the row is purged when every node has heard of it';
comment on column tandem.binding.rev is 'Change number; set by a trigger when somebody changes the row by hand';

-- Members give each written row a new number themselves, so the condition keeps the function out of their way.
create function tandem.binding_changes_by_hand() returns trigger
language plpgsql as $$
begin
  new.rev := tandem.next_rev();
  new.changed_at := greatest(now(), old.changed_at);
  return new;
end
$$;
comment on function tandem.binding_changes_by_hand() is 'Trigger: numbers a change of a binding that was made by hand, so that nodes take it over';
create trigger binding_changes_by_hand before update on tandem.binding
  for each row when (new.rev = old.rev) execute function tandem.binding_changes_by_hand();

create function tandem.binding_leaves_tombstone() returns trigger
language plpgsql as $$
begin
  insert into tandem.binding (slot, aor, key, contact, params, q, path, call_id, cseq, instance, reg_id, user_agent,
      received, expires_at, changed_at, deleted)
    values (old.slot, old.aor, old.key, old.contact, old.params, old.q, old.path, old.call_id, old.cseq, old.instance,
      old.reg_id, old.user_agent, old.received, old.expires_at, greatest(now(), old.changed_at), true)
    on conflict (slot, aor, key) do nothing;
  return null;
end
$$;
comment on function tandem.binding_leaves_tombstone() is 'Trigger: a live binding deleted by hand leaves a tombstone, by which nodes hear of it';
create trigger binding_leaves_tombstone after delete on tandem.binding
  for each row when (not old.deleted and old.expires_at > now())
  execute function tandem.binding_leaves_tombstone();
