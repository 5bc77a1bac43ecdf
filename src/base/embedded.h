/* Files compiled into the program by tools/embed.c (cmake/generated.cmake lists which).
 *
 * The set NAME is declared by the generated header "embedded/NAME.h":
 *
 *     extern const struct sl_embedded sl_embedded_NAME[];  in the order of the file names; one entry of NULLs ends it
 *     extern const size_t sl_embedded_NAME_count;          without that last entry
 */
#ifndef SL_BASE_EMBEDDED_H
#define SL_BASE_EMBEDDED_H

#include <stddef.h>

struct sl_embedded {
	const char *name;          /* path relative to the set's folder: "0001_first.sql" */
	const unsigned char *data; /* the file's bytes, and a NUL behind them that `len` does not count */
	size_t len;
};

#endif
