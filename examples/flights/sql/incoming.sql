-- The same columns for the flights that the ticket desk sends, as they come.
select 100000000 + row_number() over (order by i.date, i.origin, i.destination, i.distance) as flight,
       i.date, i.distance, hour(i.date) as hour, minute(i.date) as minute, dayofweek(i.date) as dow, i.origin, i.destination,
       0.2::double as origin_rate, 0::bigint as origin_n, 0.2::double as all_rate
from incoming_raw i
order by flight
