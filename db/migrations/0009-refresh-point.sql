-- A snapshot lists the running transactions below its xmax, which is the one after the last that has *ended*: the newest of those
-- that run are not in it. A reader that took a number given to one of them for read would never see its rows. So a
-- reader takes a transaction id of its own: whatever is below it and has not ended is running, and whatever comes
-- after it takes its numbers after the reader has read the last one.
create or replace function tandem.refresh_point(out last bigint, out running text)
language plpgsql volatile as $$
declare
  own bigint;
  seen pg_snapshot;
begin
  select case when s.is_called then s.last_value else s.last_value - 1 end into last from tandem.rev s;
  own := pg_current_xact_id()::text::bigint;
  select pg_current_snapshot() into seen;
  select format('%s:%s:%s', pg_snapshot_xmin(seen), own, string_agg(id::text, ',' order by id)) into running from (
    select x::text::bigint as id from pg_snapshot_xip(seen) x
    union all
    select generate_series(pg_snapshot_xmax(seen)::text::bigint, own - 1)
  ) r where id < own;
end
$$;
comment on function tandem.refresh_point() is 'Where a reader stands: the last change number given out, and all transactions that were running then';
