-- One row per flight with what is known when it is planned, and how late flights were of late: only flights that left three to nine hours
-- before count, for those have arrived (or have not) when this one's passengers still can decide.
with hours as (
  select origin, date_trunc('hour', date) as hour, count(*) as flights, count(*) filter (delay > $late_minutes) as late
  from flights group by all
), at_origin as (
  select origin, hour, sum(late) over past as late, sum(flights) over past as flights
  from hours
  window past as (partition by origin order by hour range between interval 9 hour preceding and interval 4 hour preceding)
), all_hours as (
  select hour, sum(late) as late, sum(flights) as flights from hours group by hour
), everywhere as (
  select hour, sum(late) over past as late, sum(flights) over past as flights
  from all_hours
  window past as (order by hour range between interval 9 hour preceding and interval 4 hour preceding)
)
select f.flight, f.date, f.distance, hour(f.date) as hour, minute(f.date) as minute, dayofweek(f.date) as dow, f.origin, f.destination,
       coalesce((o.late + 2.0) / (o.flights + 10), 0.2)::double as origin_rate, coalesce(o.flights, 0)::bigint as origin_n,
       coalesce((e.late + 2.0) / (e.flights + 10), 0.2)::double as all_rate,
       (f.delay > $late_minutes)::int as late
from flights f
left join at_origin o on o.origin = f.origin and o.hour = date_trunc('hour', f.date)
left join everywhere e on e.hour = date_trunc('hour', f.date)
order by f.flight
