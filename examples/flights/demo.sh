#!/usr/bin/env bash
# The whole loop on three million real flights, in about three minutes. usage: demo.sh [SLUICE [DATA_DIR [PROJECT_DIR]]]
#   SLUICE       the program (build/release/sluice)    DATA_DIR   holds flights-3m.parquet and airports.csv (third_party/prefix/data)
#   PROJECT_DIR  made anew (build/demo); the server that it leaves running stops with `sluice down`
# Nothing is staged: every alarm comes from the data. It ends with status 0 only if the story came out as it is told.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
sluice=$(realpath "${1:-$root/build/release/sluice}") data=$(realpath "${2:-$root/third_party/prefix/data}") project=${3:-$root/build/demo}
here=$root/examples/flights port=${SLUICE_DEMO_PORT:-4600}

bold= dim= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi
started=$(date +%s)
chapter() { printf '\n%s%s%s  %s[%d s]%s\n' "$bold" "$*" "$plain" "$dim" "$(($(date +%s) - started))" "$plain"; }
say() { printf '   %s\n' "$*"; }
run() { printf '%s$ sluice %s%s\n' "$dim" "$*" "$plain"; "$sluice" "$@"; }
fail() { printf 'demo: %s\n' "$*" >&2; exit 1; }
# figure FILE DOTTED.PATH: one value out of a JSON answer
figure() { python3 - "$@" <<'P'
import json, sys
value = json.load(open(sys.argv[1]))
for part in sys.argv[2].split("."):
    value = value[int(part)] if isinstance(value, list) else value[part]
print(f"{value:.3f}" if isinstance(value, float) else value)
P
}
# expect NAME VALUE WANTED TOLERANCE: the figures of the reference computation
expect() { python3 -c 'import sys; n, v, w, t = sys.argv[1:]; sys.exit(abs(float(v) - float(w)) > float(t))' "$@" || fail "$1 is $2, expected $3 within $4"; }
# wait_for SECONDS WHAT COMMAND...: until the command succeeds
wait_for() {
  local end=$(($(date +%s) + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do [ "$(date +%s)" -lt "$end" ] || fail "waited too long for $what"; sleep 0.2; done
}
# metric VERSION NAME: a metric of a version of the model, on the newest labelled week
metric() { "$sluice" show "model:delay@$1" --json >"$scratch/model.json"; figure "$scratch/model.json" "metrics.$2"; }
champion_is() { [ "$("$sluice" show model:delay@champion --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["version"])')" = "$1" ]; }
worst_column() { "$sluice" show "monitor:$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["latest"]["statistics"][0].get("column"))'; }
level_is() { [ "$("$sluice" show "monitor:$1" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["level"])')" = "$2" ]; }

[ ! -d "$project/.sluice" ] || (cd "$project" && "$sluice" down >/dev/null 2>&1) || true
rm -rf "$project"
mkdir -p "$project/data/incoming"
cp -r "$here/sluice.yaml" "$here/sql" "$project/"
ln "$data/flights-3m.parquet" "$project/data/flights-2001.parquet" 2>/dev/null || cp "$data/flights-3m.parquet" "$project/data/flights-2001.parquet"
cp "$data/airports.csv" "$project/data/"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$project"

chapter "1. Ingest, check, clean: 3,000,000 rows as they came"
run init
run run features unknown_airports
run sql "select reason, count(*) as rows from \"flights_raw.quarantine\" group by all order by all"
run sql "select (select count(*) from flights) as kept, (select count(*) from \"flights_raw.quarantine\") as quarantined, (select count(*) from unknown_airports) as unknown_airports"
run run features unknown_airports
say "Nothing changed, so nothing ran."

chapter "2. Train on January and February; the gate lets version 1 in"
run run delay
champion_is 1 || fail "version 1 is not champion"

chapter "3. Serve it, and replay March and April through it, day by day; labels arrive a day later"
run up --port "$port"
run replay delay --data features --from 2001-03-01 --until 2001-04-21 --labels arrivals --label late --delay 1d

chapter "4. The last days of April are calm: the model goes on predicting 21.5 %"
run replay delay --data features --from 2001-04-21 --until 2001-05-03T12:00 --labels arrivals --label late --delay 1d
wait_for 60 "the alarm of delay_quality" level_is delay_quality alarm
run show monitor:delay_quality --limit 10
say "Predicted and observed have parted company. The trigger retrains on everything labelled by then, while traffic flows:"
"$sluice" replay delay --data features --from 2001-05-03T12:00 --until 2001-05-09 --pace 2s/d --labels arrivals --label late --delay 1d >"$scratch/replay.txt" 2>&1 &
traffic=$!
wait_for 120 "version 2" champion_is 2
run show model:delay@2
expect "AUC of version 2" "$(metric 2 auc)" 0.659 0.01
expect "log loss of version 2" "$(metric 2 log_loss)" 0.358 0.01

chapter "5. Retraining alone is not the cure: a better recipe next to it"
run run delay recent=true
champion_is 3 || fail "version 3 is not champion"
run diff model:delay@2 model:delay@3
expect "log loss of version 3" "$(metric 3 log_loss)" 0.315 0.01
expect "prediction of version 3" "$(metric 3 predicted)" 0.130 0.01
run rollback delay
champion_is 2 || fail "the rollback did not take"
run promote delay@3
wait "$traffic" || { cat "$scratch/replay.txt"; fail "requests were lost while versions changed"; }
say "Meanwhile, under traffic:"; tail -n 3 "$scratch/replay.txt"
run replay delay --data features --from 2001-05-09 --until 2001-05-21 --labels arrivals --label late --delay 1d
wait_for 60 "the end of the alarm" level_is delay_quality ok
run show monitor:delay_quality --limit 10

chapter "6. Upstream breaks: one day arrives with distances in kilometres"
run sql --out data/incoming/2001-05-21.parquet "select date, delay, (distance * 1.609344)::bigint as distance, origin, destination from flights_raw where date >= timestamp '2001-05-21' and date < timestamp '2001-05-22'"
run run incoming
run replay delay --data incoming --from 2001-05-21 --until 2001-05-22
run replay delay --data features --from 2001-05-22 --until 2001-05-22T06:00
wait_for 60 "the alarm of delay_inputs" level_is delay_inputs alarm
run show monitor:delay_inputs --limit 7
[ "$(worst_column delay_inputs)" = distance ] || fail "the input monitor did not name the distance"
cp data/incoming/2001-05-21.parquet data/flights-broken-day.parquet
say "The same day as training data:"
if run run features; then fail "the broken day entered training"; fi
rm data/flights-broken-day.parquet
run run features

chapter "7. From one answer back to the bytes of the raw file, with proof"
"$sluice" ls predictions --limit 1 --json >"$scratch/prediction.json"
prediction=$(figure "$scratch/prediction.json" items.0.id)
run why "prediction:$prediction"
run verify

chapter "Done"
run status
say "Look:    http://127.0.0.1:$port/    metrics: http://127.0.0.1:$port/metrics    API: http://127.0.0.1:$port/api/v1/openapi.json"
say "Try, in $(pwd):"
say "  sluice why model:delay@champion          what it was made of          sluice sql \"from runs\""
say "  sluice run -n delay max_depth=8          what would run, and why      sluice log run:…"
say "  curl -s 127.0.0.1:$port/v2/models/delay                                sluice down"
