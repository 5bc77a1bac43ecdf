# Part of deps.sh: from the cache into prefix/{include,lib,src,data,licenses}.

# Several members of one zip: unzip is not on every machine.
unwheel() { # wheel folder pattern...
	python3 - "$@" <<-'PY'
		import fnmatch, sys, zipfile
		wheel = zipfile.ZipFile(sys.argv[1])
		for name in wheel.namelist():
		    if any(fnmatch.fnmatch(name, pattern) for pattern in sys.argv[3:]):
		        wheel.extract(name, sys.argv[2])
	PY
}

from_debs() { # new unpacked
	local new=$1 u=$2 name
	for name in yyjson yyjson-dev llhttp-dev ort-dev xgb-dev; do
		dpkg-deb -x "$CACHE/$(lock_file $name)" "$u"
	done
	mkdir -p "$new"/include/{onnxruntime,xgboost}
	cp -p "$u"/usr/include/{yyjson,llhttp}.h "$new/include"
	# (Since 1.23 the C header is in two parts.)
	cp -p "$u"/usr/include/onnxruntime/onnxruntime_{*c_api,session_options_config_keys,run_options_config_keys}.h "$new/include/onnxruntime"
	cp -p "$u"/usr/include/xgboost/c_api.h "$new/include/xgboost"
	cp -dp "$u"/usr/lib/x86_64-linux-gnu/{libyyjson.so*,libllhttp.a} "$new/lib"
	for name in libyyjson0 libllhttp-dev libonnxruntime-dev libxgboost-dev; do
		cp -pL "$u/usr/share/doc/$name/copyright" "$new/licenses/$name"
	done
}

from_wheels() { # new unpacked
	local new=$1 u=$2
	unwheel "$CACHE/$(lock_file ort)" "$u" 'onnxruntime/capi/libonnxruntime.so*' onnxruntime/LICENSE onnxruntime/ThirdPartyNotices.txt
	mv "$u"/onnxruntime/capi/libonnxruntime.so.* "$new/lib/libonnxruntime.so.1"
	mv "$u/onnxruntime/LICENSE" "$new/licenses/onnxruntime"
	mv "$u/onnxruntime/ThirdPartyNotices.txt" "$new/licenses/onnxruntime-notices"
	# Both parts, in this layout: the library's own search path is $ORIGIN/../../xgboost_cpu.libs
	unwheel "$CACHE/$(lock_file xgb)" "$new/lib" xgboost/lib/libxgboost.so 'xgboost_cpu.libs/*'
}

from_npm() { # new unpacked
	local new=$1 u=$2
	tar -xzf "$CACHE/$(lock_file duckdb)" -C "$u" package/libduckdb.so package/LICENSE
	mv "$u/package/libduckdb.so" "$new/lib"
	mv "$u/package/LICENSE" "$new/licenses/duckdb"
	tar -xzf "$CACHE/$(lock_file duckdb-dev)" -C "$u" package/src/duckdb/src/include/duckdb.h
	mv "$u/package/src/duckdb/src/include/duckdb.h" "$new/include"
	mkdir -p "$new/src/sqlite3"
	tar -xzf "$CACHE/$(lock_file sqlite)" -C "$u" package/deps/sqlite3
	mv "$u"/package/deps/sqlite3/sqlite3.{c,h} "$new/src/sqlite3"
	tar -xzf "$CACHE/$(lock_file demo-data)" -C "$u" package/data/flights-3m.parquet package/data/airports.csv
	mv "$u"/package/data/{flights-3m.parquet,airports.csv} "$new/data"
}

# A prefix beside the old one, then one exchange: whoever dies in between leaves a whole one or none, never half of one.
assemble() { # prefix
	local new=$1.new unpacked=$1.new/unpacked
	rm -rf "$new"
	mkdir -p "$new"/{include,lib,src,data,licenses} "$unpacked"
	from_debs "$new" "$unpacked"
	from_wheels "$new" "$unpacked"
	from_npm "$new" "$unpacked"
	rm -rf "$unpacked"
	chmod -R u+rwX,go+rX "$new"
	echo "$KEY" >"$new/.complete"
	rm -rf "$1"
	mv -T "$new" "$1"
}
