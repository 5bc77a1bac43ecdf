/* Shared libraries that are loaded on first use (DuckDB, XGBoost, ONNX Runtime, libcurl ...), so that a command pays only for
 * what it needs: DuckDB alone costs 11 ms and 13 MB at load.
 *
 * Looked for in the folders "lib/sluice" (build tree) and "../lib/sluice" (installed) beside the program, then, for a name
 * without '/', where the system keeps libraries. Symbols stay local to the library. A library is never unloaded: ours keep
 * threads and thread-local state that outlive any call.
 */
#ifndef SL_OS_LIBRARY_H
#define SL_OS_LIBRARY_H

#include <stddef.h>

#include "base/error.h"

/* One function wanted of a library: `slot` is where its address goes, the address of a function pointer. */
struct sl_library_symbol {
	const char *name;
	void *slot;
};

/* Loads `file` ("libduckdb.so", "xgboost/lib/libxgboost.so") and fills every slot. SL_E_NO_LIBRARY, naming the file or the
 * symbol, when the library cannot be loaded or lacks a symbol; the slots are then untouched. Loading it twice is cheap and
 * gives the same addresses. May be called from any thread. */
int sl_library_load(const char *file, const struct sl_library_symbol *symbols, size_t count, struct sl_error *err);

#endif
