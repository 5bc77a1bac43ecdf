#include "backend/sql_duckdb.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "os/library.h"

const struct sl_duckdb *sl_duckdb(struct sl_error *err)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct sl_duckdb functions;
	static bool loaded;
	const struct sl_library_symbol symbols[] = {
#define SYMBOL(name) {"duckdb_" #name, &functions.name},
		SL_DUCKDB_FUNCTIONS(SYMBOL)
#undef SYMBOL
	};

	pthread_mutex_lock(&lock);
	if (!loaded)
		loaded = sl_library_load("libduckdb.so", symbols, SL_ARRAY_LEN(symbols), err) == 0;
	bool ready = loaded;
	pthread_mutex_unlock(&lock);
	return ready ? &functions : NULL;
}

const char *sl_sql_version(struct sl_error *err)
{
	static _Thread_local char text[64];
	const struct sl_duckdb *lib = sl_duckdb(err);

	if (!lib)
		return NULL;
	const char *version = lib->library_version();
	snprintf(text, sizeof text, "duckdb %s", *version == 'v' ? version + 1 : version);
	return text;
}
