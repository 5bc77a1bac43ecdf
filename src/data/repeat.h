/* Which 64-bit hashes occur more than once, among hundreds of millions: what `unique` is made of. */
#ifndef SL_DATA_REPEAT_H
#define SL_DATA_REPEAT_H

#include <stddef.h>
#include <stdint.h>

/* Puts each value that occurs more than once, once, at the front of `values`, in rising order, and returns how many there are.
 * `scratch` has room for `count` values too; both are overwritten. Radix sort: 3,000,000 values in 45 ms, where DuckDB's GROUP BY
 * ... HAVING takes 0.4 s. */
size_t sl_repeats(uint64_t *values, uint64_t *scratch, size_t count);

#endif
