-- Three roles without login, of which logins are made members: tandem_owner migrates, tandem_node is what a running node
-- may do, tandem_dba edits map and users. Roles belong to the whole server, so several databases share them.

create function tandem.set_up_roles() returns boolean
language plpgsql as $$
declare
  wanted constant text[] := array['tandem_owner', 'tandem_node', 'tandem_dba'];
  missing text[];
  obstacle text;
  object record;
  name text;
begin
  foreach name in array wanted loop
    begin
      if not exists (select from pg_roles where rolname = name) then
        execute format('create role %I nologin', name);
      end if;
    exception
      when insufficient_privilege then missing := missing || name;
      when duplicate_object or unique_violation then null; -- another database of this server was quicker
    end;
  end loop;
  if missing is not null then
    raise warning 'Tandem''s roles do not exist, and % may not create them: all nodes need a login that owns schema tandem', current_user
      using hint = 'As a superuser: '
        || (select string_agg(format('CREATE ROLE %I NOLOGIN;', m), ' ' order by n) from unnest(missing) with ordinality as x (m, n))
        || format(' GRANT tandem_owner TO %I; then, as %I: SELECT tandem.set_up_roles();', current_user, current_user);
    return false;
  end if;

  begin
    if not pg_has_role('tandem_owner', 'usage') then
      execute format('grant tandem_owner to %I', current_user);
    end if;
    execute format('grant create on database %I to tandem_owner', current_database());
    alter schema tandem owner to tandem_owner;
    for object in
      select format('alter table %s owner to tandem_owner', c.oid::regclass) as handing_over from pg_class c
        where c.relnamespace = 'tandem'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
      union all
      select format('alter sequence %s owner to tandem_owner', c.oid::regclass) from pg_class c
        where c.relnamespace = 'tandem'::regnamespace and c.relkind = 'S'
          and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i') and d.refobjsubid > 0)
      union all
      select format('alter routine %s owner to tandem_owner', p.oid::regprocedure) from pg_proc p
        where p.pronamespace = 'tandem'::regnamespace
    loop
      execute object.handing_over;
    end loop;
  exception when insufficient_privilege then
    get stacked diagnostics obstacle = message_text;
    raise warning 'schema tandem stays with its present owners: %', obstacle using
      hint = format('As a superuser: GRANT tandem_owner TO %I; GRANT CREATE ON DATABASE %I TO tandem_owner; then SELECT tandem.set_up_roles();',
        current_user, current_database());
  end;

  revoke all on all functions in schema tandem from public;
  grant usage on schema tandem to tandem_node, tandem_dba;

  -- A node reads the map and its users, writes bindings, and reports itself.
  grant select on tandem.migration, tandem.domain, tandem.sip_group, tandem.member, tandem.slot_range, tandem.pin,
    tandem.map_state, tandem.subscriber, tandem.subscriber_removed, tandem.alias, tandem.alias_removed, tandem.cluster_key
    to tandem_node;
  grant select, insert, update on tandem.node to tandem_node;
  grant select, insert, update, delete on tandem.binding to tandem_node;
  grant usage, select on sequence tandem.rev to tandem_node, tandem_dba;
  grant execute on function tandem.next_rev(), tandem.refresh_point(), tandem.slot_of(text), tandem.slot_of_key(text),
    tandem.hash_key(text), tandem.canonical_user(text, boolean), tandem.normalize_escapes(text), tandem.owner_of(text)
    to tandem_node;

  grant select on all tables in schema tandem to tandem_dba;
  revoke select on tandem.cluster_key from tandem_dba;
  grant insert, update, delete on tandem.domain, tandem.sip_group, tandem.member, tandem.slot_range, tandem.pin,
    tandem.subscriber, tandem.subscriber_removed, tandem.alias, tandem.alias_removed, tandem.binding to tandem_dba;
  grant delete on tandem.node to tandem_dba;
  grant execute on all functions in schema tandem to tandem_dba;
  return true;
end
$$;
comment on function tandem.set_up_roles() is
  'Creates roles tandem_owner, tandem_node and tandem_dba if need be, hands everything to the first and grants the others what they need. Every migration that adds something calls it last. false, with a warning that says what to do, when roles are missing';

select tandem.set_up_roles();
