-- What the join in flights.sql leaves out.
select f.date, f.delay, f.distance, f.origin, f.destination
from flights_raw f
left join airports o on o.iata = f.origin
left join airports d on d.iata = f.destination
where o.iata is null or d.iata is null or f.origin = f.destination
order by all
