-- Flights between known airports, in one order, each with its number.
select row_number() over (order by f.date, f.origin, f.destination, f.distance, f.delay) as flight,
       f.date, f.delay, f.distance, f.origin, f.destination
from flights_raw f
join airports o on o.iata = f.origin
join airports d on d.iata = f.destination
where f.origin <> f.destination
order by flight
