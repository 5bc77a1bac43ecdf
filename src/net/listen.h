/* Inside net/ only: unix sockets that listen. */
#ifndef SL_NET_LISTEN_H
#define SL_NET_LISTEN_H

#include "base/error.h"
#include "net/http_server.h" /* sl_net_listen */

/* `type`: SOCK_STREAM or SOCK_SEQPACKET. See sl_http_server_listen_unix. */
int sl_net_listen_unix(const char *path, int type, int *ret_fd, struct sl_error *err);
/* Connected and non-blocking. SL_E_BUSY when nobody listens there or its backlog is full. */
int sl_net_connect_unix(const char *path, int type, int *ret_fd, struct sl_error *err);

#endif
