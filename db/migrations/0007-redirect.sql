-- Domains whose users stage 1 does not proxy: it tells their clients where the group is.

alter table tandem.domain add column redirect boolean not null default false;
comment on column tandem.domain.redirect is
  'Whether stage 1 answers new requests for its users with 302 to the serving member of their group, for clients that can follow it and that stage2.directClients names; else it passes them on';

-- Versions made before have no such column: a rollback to one of them restores null.
create or replace function tandem.domain_defaults() returns trigger
language plpgsql as $$
begin
  new.realm := coalesce(new.realm, new.name);
  new.redirect := coalesce(new.redirect, false);
  return new;
end
$$;
comment on function tandem.domain_defaults() is 'Trigger: the realm of a domain is its name unless given, and it is proxied';
drop trigger domain_defaults on tandem.domain;
create trigger domain_defaults before insert or update on tandem.domain
  for each row when (new.realm is null or new.redirect is null) execute function tandem.domain_defaults();

create function tandem.redirect_domain(name text, redirect boolean, comment text default null) returns bigint
language plpgsql as $$
#variable_conflict use_variable
begin
  perform tandem.edit_map(comment);
  update tandem.domain d set redirect = redirect_domain.redirect
    where d.name = lower(redirect_domain.name) and d.redirect <> redirect_domain.redirect;
  if not found and not exists (select from tandem.domain d where d.name = lower(redirect_domain.name)) then
    raise exception 'there is no domain %', redirect_domain.name using
      hint = 'Domains: ' || coalesce((select string_agg(d.name, ', ' order by d.name) from tandem.domain d), 'none') || '.';
  end if;
  return tandem.map_version_now();
end
$$;
comment on function tandem.redirect_domain(text, boolean, text) is
  'Whether new requests for the users of a domain are redirected to their group or passed on. Returns the version it makes';

select tandem.set_up_roles();
