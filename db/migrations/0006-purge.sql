-- Removing what is kept for nodes that have not heard of it yet, once it is old enough: a node may do that.

create table tandem.purge_state (
  the_row boolean primary key default true check (the_row),
  started_at timestamptz not null default '-infinity',
  started_by text
);
insert into tandem.purge_state default values;
comment on table tandem.purge_state is 'The one row by which the nodes agree which of them purges, and when: who moves started_at does it';
comment on column tandem.purge_state.the_row is 'Always true: there is one row';
comment on column tandem.purge_state.started_at is 'When the last purge began';
comment on column tandem.purge_state.started_by is 'Node that began it';

alter function tandem.set_up_roles() rename to set_up_first_roles;
comment on function tandem.set_up_first_roles() is 'Roles and grants for the tables of migrations 1 to 5; tandem.set_up_roles() calls it';

create function tandem.set_up_roles() returns boolean
language plpgsql as $$
begin
  if not tandem.set_up_first_roles() then
    return false;
  end if;
  grant select, update on tandem.purge_state to tandem_node;
  grant delete on tandem.subscriber_removed, tandem.alias_removed to tandem_node;
  return true;
end
$$;
comment on function tandem.set_up_roles() is
  'Creates roles tandem_owner, tandem_node and tandem_dba if need be, hands everything to the first and grants the others what they need. Every migration that adds something calls it last. false, with a warning that says what to do, when roles are missing';

select tandem.set_up_roles();
