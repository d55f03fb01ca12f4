-- How often a node reports itself, so that the others can tell which have fallen silent; and a cluster key that is known
-- everywhere before anything is signed with it.

alter table tandem.node add column interval_ms integer not null default 1000 check (interval_ms > 0);
comment on column tandem.node.interval_ms is 'How often it reports itself, in milliseconds; a node that misses five reports, or three seconds, is taken for dead';

alter table tandem.cluster_key drop constraint cluster_key_role_check;
alter table tandem.cluster_key add constraint cluster_key_role_check check (role in ('next', 'current', 'previous'));
alter table tandem.cluster_key add column since timestamptz not null default now();
comment on table tandem.cluster_key is 'Keys that all nodes share, for nonces and flow tokens; to rotate: select tandem.rotate_cluster_key()';
comment on column tandem.cluster_key.role is 'next: verifies, and will sign after the next rotation; current: signs and verifies; previous: still verifies';
comment on column tandem.cluster_key.since is 'When the key got this role';
update tandem.cluster_key set since = created_at;
insert into tandem.cluster_key (role, secret) values ('next', tandem.random_key());

create function tandem.cluster_key_changes() returns trigger
language plpgsql as $$
begin
  perform pg_notify('tandem_keys', '');
  return null;
end
$$;
comment on function tandem.cluster_key_changes() is 'Trigger: tells every node to read the cluster keys';
create trigger cluster_key_changes after insert or update or delete on tandem.cluster_key
  for each statement execute function tandem.cluster_key_changes();

-- A registration made after the current key began to sign carries no token of the key before it.
create function tandem.cluster_key_ages(out next_since timestamptz, out current_since timestamptz,
  out previous_since timestamptz, out old_bindings bigint, out old_until timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  with key as (select role, since from tandem.cluster_key),
    old as (select count(*) as n, max(expires_at) as until from tandem.binding
      where not deleted and expires_at > now() and changed_at < (select since from key where role = 'current'))
  select (select since from key where role = 'next'), (select since from key where role = 'current'),
    (select since from key where role = 'previous'), old.n, old.until from old
$$;
comment on function tandem.cluster_key_ages() is
  'Since when each cluster key has its role, and how many registrations may carry a token that the next rotation makes worthless, until when';

drop function tandem.rotate_cluster_key();
create function tandem.rotate_cluster_key(force boolean default false) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ages record;
begin
  lock table tandem.cluster_key in share row exclusive mode;
  if not force then
    select * into ages from tandem.cluster_key_ages();
    if ages.next_since is not null and ages.next_since > now() - interval '1 minute' then
      raise exception 'the next cluster key is % seconds old, and a node may not know it yet', extract(epoch from now() - ages.next_since)::integer
        using errcode = 'object_not_in_prerequisite_state', hint = 'wait until it is a minute old';
    end if;
    if ages.old_bindings > 0 then
      raise exception '% registration(s) may still go by the key that a rotation would end, the last until %', ages.old_bindings, ages.old_until
        using errcode = 'object_not_in_prerequisite_state', hint = 'wait until they are refreshed, or force it';
    end if;
  end if;
  delete from tandem.cluster_key where role = 'previous';
  update tandem.cluster_key set role = 'previous', since = now() where role = 'current';
  update tandem.cluster_key set role = 'current', since = now() where role = 'next';
  if not found then
    insert into tandem.cluster_key (role, secret) values ('current', tandem.random_key());
  end if;
  insert into tandem.cluster_key (role, secret) values ('next', tandem.random_key());
end
$$;
comment on function tandem.rotate_cluster_key(boolean) is
  'The next cluster key signs from now on, the one before it is still accepted, and another is announced. Refused while nodes or registrations would suffer, unless forced';

select tandem.set_up_roles();
