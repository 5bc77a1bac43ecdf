/* Section `server`. */
#include <stddef.h>
#include <string.h>

#include "base/str.h"
#include "project/shape.h"

#define SERVER(member) offsetof(struct sl_server_spec, member)
static const struct sl_row SERVER_ROWS[] = {
	{"host", SL_ROW_TEXT, SERVER(host), .about = "address to listen on; 127.0.0.1 when not given"},
	{"port", SL_ROW_INT, SERVER(port), .min = 0, .max = 65535, .about = "TCP port, 0: any free one; 4600 when not given"},
	{"tls_cert", SL_ROW_TEXT, SERVER(tls_cert), .about = "PEM file with the certificate chain; with it the server speaks TLS"},
	{"tls_key", SL_ROW_TEXT, SERVER(tls_key), .about = "PEM file with its private key"},
	{"allow_host", SL_ROW_NAMES, SERVER(allow_host), .about = "names of this server besides those of the certificate"},
	{"require_token", SL_ROW_BOOL, SERVER(require_token), .about = "a token also for looking and for predictions"},
	{"traces", SL_ROW_TEXT, SERVER(traces), .about = "OpenTelemetry collector that spans of predictions are sent to (OTLP over HTTP), like http://127.0.0.1:4318"},
	{"traces_ratio", SL_ROW_NUMBER, SERVER(traces_ratio), .min = 0, .max = 1, .about = "share of the requests without a traceparent that is traced; 1 when not given"},
	{"plain_text", SL_ROW_BOOL, SERVER(plain_text), .about = "may it listen beyond this machine without TLS?"},
};
const struct sl_shape sl_shape_server = SL_SHAPE("'server'", SERVER_ROWS);

static struct sl_mark mark_of(const struct sl_yaml *node, const char *name)
{
	const struct sl_yaml *value = sl_yaml_get(node, name);
	return value ? value->mark : node->mark;
}

int sl_read_server(struct sl_loader *loader, const struct sl_yaml *node, void *project)
{
	struct sl_server_spec *server = &((struct sl_project *)project)->server;
	int rc = sl_shape_read(loader, &sl_shape_server, node, server);
	if (rc)
		return rc;
	if (*server->traces && strncmp(server->traces, "http://", 7) != 0 && strncmp(server->traces, "https://", 8) != 0)
		return sl_load_fail(loader, mark_of(node, "traces"), SL_E_INVALID, "'traces' is no http or https address");
	server->host_mark = mark_of(node, "host");
	server->tls_mark = mark_of(node, "tls_cert");
	server->names_mark = mark_of(node, "allow_host");
	if (!*server->tls_cert == !*server->tls_key)
		return 0;
	const char *given = *server->tls_cert ? "tls_cert" : "tls_key";
	return sl_load_fail(loader, mark_of(node, given), SL_E_INVALID, "'tls_cert' and 'tls_key' go together: '%s' is missing",
			    *server->tls_cert ? "tls_key" : "tls_cert");
}
