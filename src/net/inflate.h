/* Bodies that came compressed (zlib). */
#ifndef SL_NET_INFLATE_H
#define SL_NET_INFLATE_H

#include "base/buf.h"

enum sl_inflate { SL_INFLATE_GZIP, SL_INFLATE_ZLIB, SL_INFLATE_RAW };

/* The whole of `data`, one member of it, appended to `out`, whose maximum is the bound. SL_E_INVALID: it is not that, or goes on behind its end;
 * SL_E_TOO_LARGE. */
int sl_net_inflate(enum sl_inflate format, const void *data, size_t len, struct sl_buf *out, struct sl_error *err);

#endif
